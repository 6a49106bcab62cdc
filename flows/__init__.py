"""The same runs under Prefect; the only files that import it."""
