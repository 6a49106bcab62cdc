"""Portfolios from joint paths: weights, what is to be expected of them, and what they made walk-forward."""
