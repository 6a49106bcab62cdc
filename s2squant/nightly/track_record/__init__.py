"""What the live record says."""
