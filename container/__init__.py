"""The contract: what the platform and a model agree on. Standard library only."""
