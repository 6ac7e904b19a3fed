"""Large answers: known by an estimate, and written in parts as they would be in one."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pytest

from byo_container.serving.codecs import encoding, large_answers, plain_values
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT
from byo_container.serving.errors import RequestError


class Both(NamedTuple):
    label: str
    score: float


NUMBERS = [0.5] * 100_000


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([], False),
        ([1], False),
        ([{"label": "a", "scores": {"a": 0.5, "b": 0.5}}] * 20, False),
        (["x" * 1000] * 20, False),
        ([np.zeros(1000)], False),
        ([object()], False),
        ([iter([1])], False),
        ([NUMBERS], True),
        (NUMBERS, True),
        ([{"a": {"b": [{"c": NUMBERS}]}}], True),
        ([1, 2, "x" * 100_000], True),
        (["x" * 1000] * 100, True),
        ([b"x" * 100_000], True),
        ([np.zeros(100_000)], True),
        (list(np.zeros((10_000, 4))), True),
        ([Both("a" * 100_000, 0.5)], True),
        ([dict.fromkeys(range(10_000), "x")], True),
    ],
)
def test_size_of_an_answer_is_estimated(outputs: list[Any], expected: bool) -> None:
    assert large_answers.is_large(outputs) == expected


def test_estimate_samples_few_values() -> None:
    looked = 0

    class Tall(list[Any]):
        """Eight items, each like itself, without an end."""

        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: Any) -> Any:
            nonlocal looked
            looked += 1
            return [Tall()] * 4 if isinstance(index, slice) else Tall()

    large_answers.is_large([Tall()] * 8)
    assert looked < 10_000


TENTHS = np.full((20_000, 4), 0.1, np.float32)


@pytest.mark.parametrize(
    "value",
    [
        NUMBERS,
        tuple(NUMBERS[:20_000]),
        {"a": NUMBERS, "b": "é", 'c"': {"d": NUMBERS}, "e": []},
        {1: NUMBERS},
        [{"label": "a", "score": n} for n in range(20_000)],
        [["x" * 300_000, 1], "x" * 300_000, [NUMBERS], None],
        TENTHS,
        TENTHS[:, ::2],
        TENTHS.astype(">f4"),
        list(TENTHS),
        np.array(["a", "b"] * 20_000),
        np.ma.masked_array(np.arange(20_000), np.arange(20_000) % 2 == 0),
        [2**70] * 20_000,
        [float("nan")] * 20_000,
        Both("x" * 500_000, 0.5),
        "x" * 500_000,
        [],
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_in_parts_equals_json_at_once(value: Any) -> None:
    assert large_answers.dumps(value) == plain_values.dumps(value)
    for many in (False, True):
        assert encoding.encode_large([value], many, JSON) == encoding.encode([value], many, JSON)
    assert encoding.encode_large([value, value], True, JSON_LINES) == encoding.encode([value, value], True, JSON_LINES)


@pytest.mark.parametrize("name", [CSV, TEXT, NPY])
def test_other_media_types_are_encoded_at_once(name: str) -> None:
    assert encoding.encode_large([TENTHS], False, name) == encoding.encode([TENTHS], False, name)
    if name == NPY:
        assert np.load(io.BytesIO(encoding.encode_large([TENTHS], False, name))).shape == (20_000, 4)


def test_large_value_is_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them small: the event loop has its turn between two."""
    sizes = []
    whole = plain_values.dumps

    def dumps(value: Any) -> bytes:
        sizes.append(len(written := whole(value)))
        return written

    monkeypatch.setattr(plain_values, "dumps", dumps)
    large_answers.dumps([{"a": NUMBERS, "b": [{"c": list(TENTHS)}]}])
    assert len(sizes) > 8
    assert max(sizes) < 2 * large_answers.PART


def test_value_that_contains_itself_is_an_error() -> None:
    circle: list[Any] = ["x" * 1_000_000]
    circle.append(circle)
    with pytest.raises(RequestError, match="nested deeper"):
        large_answers.dumps(circle)
    with pytest.raises(TypeError, match="of bytes"):
        large_answers.dumps([b"x"] * 100_000)
