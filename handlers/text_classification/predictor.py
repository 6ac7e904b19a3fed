"""Texts → the scores of the labels, in batches of similar length."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Predictor:
    """Classifies texts. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self.labels = [self._model.config.id2label[index] for index in range(self._model.config.num_labels)]

    def classify(self, texts: list[str]) -> list[list[tuple[str, float]]]:
        """For each text (label, score) of every label, best first."""
        batch = self._tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
        rows = torch.softmax(self._model(**batch).logits.float(), dim=-1).tolist()
        return [sorted(zip(self.labels, row, strict=True), key=lambda pair: -pair[1]) for row in rows]
