"""Tests as functions of arrays: no ticker, date or price in them."""
