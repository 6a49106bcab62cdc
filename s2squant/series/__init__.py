"""Price histories, panels, walk-forward windows, and forecasts."""
