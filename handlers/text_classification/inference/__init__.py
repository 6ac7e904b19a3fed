"""Ways to compute a batch."""
