"""Texts and tokenised rows → the tokens that a model trains on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
from datasets import Dataset

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing import splits
from byo_container.handlers.text_classification.preprocessing.tokenizing import tokenize
from tests.handlers.text_classification import old_datasets
from tests.handlers.text_classification.support import FAMILIES, tiny_tokenizer

TEXTS = ["i feel so happy", "i feel sad and very lonely today", "mad"]


def rows(**columns: list[Any]) -> Dataset:
    count = len(next(iter(columns.values())))
    return Dataset.from_dict({**columns, "label": [row % 2 for row in range(count)], "row": range(1, count + 1)})


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_and_the_same_rows_tokenised_and_padded(family: str) -> None:
    tokenizer = tiny_tokenizer(family)
    expected = tokenizer(TEXTS)["input_ids"]
    padded = tokenizer(TEXTS, padding="max_length", max_length=32)
    without_mask = {"input_ids": padded["input_ids"]}
    for given in (rows(text=TEXTS), rows(**padded), rows(**without_mask), rows(text=TEXTS, **padded)):
        found = tokenize(given, tokenizer, 64)
        assert found.column_names == ["input_ids", "labels", "length"]
        assert list(found["input_ids"]) == expected
        assert list(found["labels"]) == [0, 1, 0]
        assert list(found["length"]) == [len(ids) for ids in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_long_texts_are_cut_and_told(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = tiny_tokenizer(family)
    long = "i feel very sad " * 6250  # 100,000 characters
    texts = [long, "mad", "x" * 100_000]
    expected = tokenizer(texts, truncation=True, max_length=8)["input_ids"]
    found = tokenize(rows(text=texts), tokenizer, 8, "test")
    assert list(found["input_ids"]) == expected
    assert "channel 'test': " in (said := capsys.readouterr().out)
    assert " of 3 texts are longer than 8 tokens (max_length) and cut; the longest had " in said
    tokenised = rows(input_ids=tokenizer(texts, verbose=False)["input_ids"])
    assert list(tokenize(tokenised, tokenizer, 8, quiet=True)["input_ids"]) == expected
    assert not capsys.readouterr().out


def test_pairs_keep_their_types() -> None:
    tokenizer = tiny_tokenizer("bert")
    given = tokenizer(TEXTS, TEXTS[::-1], padding="max_length", max_length=40)
    found = tokenize(rows(**given), tokenizer, 64)
    assert list(found["token_type_ids"]) == tokenizer(TEXTS, TEXTS[::-1])["token_type_ids"]
    assert "token_type_ids" not in tokenize(rows(**tokenizer(TEXTS, padding=True)), tokenizer, 64).column_names


def test_the_notebooks_data_set_of_datasets_1(tmp_path: Path) -> None:
    """Padded to 512, with set_format for PyTorch; many rows, so that there are several batches."""
    tokenizer = tiny_tokenizer("bert", 512)
    texts = TEXTS * 400
    made = tokenizer(texts, padding="max_length", truncation=True)
    columns = {name: made[name] for name in ("input_ids", "attention_mask")} | {"label": [0, 1, 0] * 400}
    old_datasets.save(tmp_path / "train", columns, ["joy", "fear"], torch=True)
    before = sorted(tmp_path.rglob("*"))
    channel = Channel("train", tmp_path / "train")
    found = splits.read({"train": channel}, 1)
    tokens = tokenize(found.train, tokenizer, 512)
    assert list(tokens["input_ids"]) == [tokenizer(texts[row - 1])["input_ids"] for row in found.train["row"]]
    assert sorted(tmp_path.rglob("*")) == before  # datasets would write its cache there


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"input_ids": [[2, 5, 3], [2, 9999, 3]]}, "row 2 has the token 9999, and this model's vocabulary has"),
        (
            {"input_ids": [[2, 5, 3], [0, 5, 3]]},
            "row 2 begins with the token 0 ([PAD]), and with this model's tokenizer",
        ),
        (
            {"input_ids": [[2, 5, 3], [2, 5, 6]]},
            "row 2 ends with the token 6 (feel), and with this model's tokenizer a text",
        ),
        ({"input_ids": [[2, 5, 3], []]}, "row 2 has no input_ids"),
        ({"input_ids": [[2, 5, 3], None]}, "row 2 has no input_ids"),
        ({"input_ids": [[2, 5, 3], [2, None, 3]]}, "row 2 has a null among its input_ids"),
        ({"input_ids": [[2, 3], [2, 3]], "attention_mask": [[1, 1], [0, 0]]}, "row 2 has no tokens but padding"),
        (
            {"input_ids": [[2, 3], [2, 3]], "attention_mask": [[1, 1], [1]]},
            "row 2 has 1 numbers in attention_mask and 2",
        ),
        (
            {"input_ids": [[2, 5, 3], [2, 5, 3]], "token_type_ids": [[0, 0, 1], [0, 9, 1]]},
            "row 2 has 9 among its token_type_ids; they should be 0 for the first text and 1 for the second",
        ),
        ({"input_ids": [[2, 9, 10, 3]], "text": ["mad"]}, "of the tokens in input_ids 0% are those that this model's"),
    ],
)
def test_rows_of_another_tokenizer_are_refused(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(JobError, match=re.escape(f"channel 'test': {message}")):
        tokenize(rows(**columns), tiny_tokenizer("bert"), 64, "test")


def test_rows_of_another_family_are_refused() -> None:
    tokens = tiny_tokenizer("roberta")(TEXTS)["input_ids"]
    with pytest.raises(JobError, match="another model's tokenizer"):
        tokenize(rows(input_ids=tokens), tiny_tokenizer("bert"), 64)


def test_rows_that_are_held_out_are_named_by_their_place_in_the_channel() -> None:
    given = rows(input_ids=[[2, 5, 3], [2, 5, 3], [2, 9999, 3]]).select([0, 2])
    with pytest.raises(JobError, match="row 3 has the token 9999"):
        tokenize(given, tiny_tokenizer("bert"), 64)
