"""Statistical baselines: each takes its spec, fits per ticker, and is gated by coverage on data from its own model."""
