"""A training job: fairseq's program with parts of our own, its checkpoints, metrics and results."""
