"""A search for better settings, judged on cutoffs it never saw."""
