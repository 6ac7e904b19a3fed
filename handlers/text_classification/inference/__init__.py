"""Texts → token ids → logits → scores."""
