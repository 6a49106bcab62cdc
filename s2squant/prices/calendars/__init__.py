"""Trading calendars: sessions, closes, and the guess of a ticker's calendar."""
