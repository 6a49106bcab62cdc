"""Price sources, each behind the port."""
