"""Status, retention, and the client of a Prefect server."""
