"""Positions, equity after costs, performance, and the ledger of trials."""
