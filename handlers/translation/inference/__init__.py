"""From raw text to raw text, by a model that is loaded once."""
