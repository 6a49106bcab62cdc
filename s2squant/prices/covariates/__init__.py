"""Covariates: read, joined as of the moment they were known, and told where they lack."""
