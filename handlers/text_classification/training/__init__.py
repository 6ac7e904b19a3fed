"""A training job."""
