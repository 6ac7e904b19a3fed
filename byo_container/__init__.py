"""Bring your own model: train and serve by Amazon SageMaker's container contract."""
