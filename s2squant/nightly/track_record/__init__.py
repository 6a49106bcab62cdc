"""Live record: skill, coverage, calibration, revisions, drift."""
