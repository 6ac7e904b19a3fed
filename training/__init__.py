"""`train`: the life of a training job."""
