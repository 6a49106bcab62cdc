"""Models that people would pick instead, each an extra of the package, behind the contract of every forecaster."""
