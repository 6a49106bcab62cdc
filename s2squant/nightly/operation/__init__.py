"""Status, upkeep, and the Prefect server as others see it."""
