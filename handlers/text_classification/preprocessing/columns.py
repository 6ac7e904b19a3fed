"""Which columns are the text and the label, by their names. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing.rows import TOKENS

TEXTS = (
    "text", "texts", "sentence", "content", "review", "tweet", "comment", "utterance", "document", "message", "body",
    "headline", "description", "query", "question", "inputs", "input", "title", "review_body", "review_text",
)  # fmt: skip
LABELS = (
    "label_text", "label_name", "label", "labels", "category", "class", "target", "emotion", "sentiment", "intent",
    "topic", "y", "star_rating", "stars", "rating",
)  # fmt: skip
"""The likelier come first. label_text stands beside a label of numbers, and has their names."""


def recognised(name: str, known: Sequence[str]) -> bool:
    return _plain(name) in known


def find_text(columns: Sequence[str], where: str) -> str | None:
    """The column of texts; None where the rows are tokenised and have none. Raises JobError where both are missing."""
    found = _first(columns, TEXTS)
    if found is None and TOKENS not in columns:
        raise JobError(
            f"{where} has no column of texts; its columns are {', '.join(map(repr, columns)) or 'none'}. "
            f"One should be called text (or {', '.join(TEXTS[2:8])}, …), or {TOKENS} where the texts are tokenised"
        )
    return found


def find_label(columns: Sequence[str], where: str) -> str:
    """The column of labels. Raises JobError where there is none."""
    found = _first(columns, LABELS)
    if found is None:
        raise JobError(
            f"{where} has no column of labels; its columns are {', '.join(map(repr, columns)) or 'none'}. "
            f"One should be called label (or {', '.join(LABELS[3:8])}, …)"
        )
    return found


def _first(columns: Sequence[str], known: Sequence[str]) -> str | None:
    by_name = {_plain(column): column for column in reversed(columns)}
    return next((by_name[name] for name in known if name in by_name), None)


def _plain(name: str) -> str:
    return name.strip().lower()
