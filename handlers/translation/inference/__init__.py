"""From a checkpoint to translations of sentences."""
