"""The forecast ledger."""
