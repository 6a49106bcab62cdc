"""Versioned store of bars, its updates and revisions."""
