"""Texts of similar length are computed together."""

from __future__ import annotations

from byo_container.handlers.text_classification.inference.batches import by_length


def test_every_text_is_in_one_batch_with_others_of_its_length() -> None:
    lengths = [20, 500, 21, 480, 22, 23]
    assert list(by_length(lengths, 64)) == [[1, 3], [5, 4, 2, 0]]
    assert list(by_length(lengths, 8)) == [[1], [3], [5, 4, 2, 0]]
    assert sorted(number for batch in by_length([7] * 100, 8) for number in batch) == list(range(100))
    assert list(by_length([], 8)) == []


def test_a_batch_has_so_many_tokens_at_most() -> None:
    assert list(by_length([10, 10, 10, 10, 10], 64, max_tokens=20)) == [[0, 1], [2, 3], [4]]
    assert list(by_length([100, 10], 64, max_tokens=20)) == [[0], [1]]
