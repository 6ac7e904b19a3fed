"""Padding in buckets, and what it saves."""

from __future__ import annotations

import pytest

from byo_container.handlers.text_classification.preprocessing.padding import PadToBucket, bucket_of, savings


@pytest.mark.parametrize(
    ("length", "bucket", "max_length", "padded"),
    [
        (1, 8, 512, 8),
        (8, 8, 512, 8),
        (9, 8, 512, 16),
        (509, 8, 510, 510),
        (17, (16, 32, 128), 512, 32),
        (129, (16, 32, 128), 512, 512),
        (20, (16, 64), 40, 40),
    ],
)
def test_length_of_a_batch(length: int, bucket: int | tuple[int, ...], max_length: int, padded: int) -> None:
    assert bucket_of(length, bucket, max_length) == padded


def test_rows_become_tensors() -> None:
    pytest.importorskip("torch")
    rows = [
        {"input_ids": [2, 5, 3], "token_type_ids": [0, 0, 1], "labels": 1, "length": 3},
        {"input_ids": [2, 5, 6, 7, 3], "token_type_ids": [0, 0, 0, 1, 1], "labels": 0, "length": 5},
    ]
    batch = PadToBucket(pad_token_id=9, max_length=6)(rows)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[2, 5, 3, 9, 9, 9], [2, 5, 6, 7, 3, 9]],
        "attention_mask": [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]],
        "token_type_ids": [[0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0]],
        "labels": [1, 0],
    }
    assert set(PadToBucket(9, 6)([{"input_ids": [1]}])) == {"input_ids", "attention_mask"}


def test_savings_of_buckets() -> None:
    pytest.importorskip("numpy")
    found = savings([10, 60, 10, 60], batch_size=2, max_length=512, seed=0)
    assert (found.rows, found.tokens, found.longest) == (4, 140, 60)
    assert found.to_maximum == 4 * 512
    assert found.in_random_batches in (4 * 60, 2 * 60 + 2 * 10)
    assert found.in_buckets == 2 * 64 + 2 * 16
    assert savings([10, 60, 10, 60], 4, 512, bucket=(128,), by_length=False).in_buckets == 4 * 128
    assert "4 texts of 35.0 tokens on average and 60 at most" in found.line()
    assert "(12.8 times as many)" in found.line()
