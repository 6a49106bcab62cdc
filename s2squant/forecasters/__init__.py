"""Every model behind one contract: fit -> Fitted, predict -> Forecast."""
