"""Texts → token ids, without padding: that is the batches' matter, see padding.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset


def tokenize(data: Dataset, tokenizer: Any, max_length: int) -> Dataset:
    """The columns input_ids (a list of at most `max_length` numbers), labels and length of each row."""

    def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded = tokenizer(rows["text"], truncation=True, max_length=max_length)["input_ids"]
        return {"input_ids": encoded, "labels": rows["label"], "length": [len(ids) for ids in encoded]}

    return data.map(encode, batched=True, remove_columns=data.column_names)
