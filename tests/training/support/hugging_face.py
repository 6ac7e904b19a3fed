"""Datasets as scripts for Hugging Face's Trainer take them, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

from tests.handlers.text_classification.support import LABELS, lines


def save_channels(model: Path, *folders: Path) -> None:
    """The same tokenised dataset, padded to 24, in each of the folders."""
    from datasets import ClassLabel, Dataset, Features, Value
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts, labels = zip(*(line.rsplit(";", 1) for line in lines(24)), strict=True)
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(LABELS))})
    numbers = [LABELS.index(label) for label in labels]
    dataset = Dataset.from_dict({"text": list(texts), "label": numbers}, features)
    dataset = dataset.map(
        lambda rows: tokenizer(rows["text"], padding="max_length", max_length=24, truncation=True), batched=True
    )
    for folder in folders:
        dataset.save_to_disk(folder)


def scores(path: Path) -> dict[str, float]:
    """What the script of examples/hugging_face writes."""
    pairs = (line.split(" = ") for line in path.read_text().splitlines())
    return {name: json.loads(value) for name, value in pairs}
