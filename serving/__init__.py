"""`serve`: a model behind /ping and /invocations."""
