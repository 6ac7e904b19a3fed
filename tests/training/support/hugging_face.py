"""A tiny model and datasets, as scripts for Hugging Face's Trainer take them."""

from __future__ import annotations

import json
from pathlib import Path

LABELS = ["joy", "anger"]
WORDS = ["glad", "happy", "merry", "cross", "furious", "livid", "i", "am"]
TEXTS = [f"i am {word}" for word in WORDS[:6]] * 4
NUMBERS = [0, 0, 0, 1, 1, 1] * 4


def save_model(folder: Path) -> Path:
    """A BERT of one layer, and its tokenizer."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    folder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder


def save_channels(model: Path, *folders: Path) -> None:
    """The same tokenised dataset in each of the folders."""
    from datasets import ClassLabel, Dataset, Features, Value
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    features = Features({"text": Value("string"), "label": ClassLabel(names=LABELS)})
    dataset = Dataset.from_dict({"text": TEXTS, "label": NUMBERS}, features)
    dataset = dataset.map(lambda rows: tokenizer(rows["text"], padding="max_length", truncation=True), batched=True)
    for folder in folders:
        dataset.save_to_disk(folder)


def scores(path: Path) -> dict[str, float]:
    """What the script of examples/hugging_face writes."""
    lines = (line.split(" = ") for line in path.read_text().splitlines())
    return {name: json.loads(value) for name, value in lines}
