"""Repairs and checks of a history: each finding with its severity, its rows and what was done."""
