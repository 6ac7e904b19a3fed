"""A training job: networks, training loops, checkpoints, metrics and plots."""
