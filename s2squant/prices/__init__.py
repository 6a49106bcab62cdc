"""Prices from a source, repaired and checked, as one PriceHistory a ticker."""
