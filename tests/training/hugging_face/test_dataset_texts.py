"""Numbers in the place of texts."""

from __future__ import annotations

import pytest

pytest.importorskip("datasets")
from datasets import Dataset, Features, Value, table

from byo_container.training.hugging_face import dataset_texts


@pytest.mark.parametrize("kind", ["string", "large_string"])
def test_labels_by_name_become_numbers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "array_cast", table.array_cast)
    dataset_texts.change_table(table)
    names = Dataset.from_dict({"label": ["joy", "fear"]}, Features({"label": Value(kind)}))
    assert names.map(lambda rows: {"label": [1, 0]}, batched=True)[:] == {"label": [1, 0]}
    assert names.map(lambda rows: {"label": ["a", "b"]}, batched=True)[:] == {"label": ["a", "b"]}
