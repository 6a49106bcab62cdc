"""A study laid out as HTML that opens from a folder, without a network; it computes nothing."""
