"""Sessions of exchanges."""
