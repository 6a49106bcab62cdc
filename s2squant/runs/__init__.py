"""Runs: planned, carried out side by side, resumed and written."""
