"""What `predict` may return, tested as data."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from byo_container.container.handler import InputError
from byo_container.serving.models.handler.outputs import outputs_of


class Both(NamedTuple):
    label: str
    score: float


class Sequence:
    """A collection that knows its length, of whatever library."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))


@pytest.mark.parametrize(
    "returned",
    [
        [1, 2],
        (1, 2),
        deque([1, 2]),
        range(1, 3),
        {"a": 1, "b": 2}.values(),
        np.array([1, 2]),
        np.array([1.0, 2.0], np.float32),
        Sequence(),
    ],
)
def test_collections_with_an_order_hold_the_outputs(returned: Any) -> None:
    assert outputs_of(returned, 2, "shout:Shout") == [1, 2]


def test_an_array_has_an_output_in_each_row() -> None:
    rows = outputs_of(np.eye(2), 2, "shout:Shout")
    assert [row.tolist() for row in rows] == [[1, 0], [0, 1]]


def test_tensors_come_to_the_host() -> None:
    torch = pytest.importorskip("torch")
    weights = torch.ones(2, 3, requires_grad=True)
    for returned in (weights, list(weights), tuple(weights)):
        rows = outputs_of(returned, 2, "shout:Shout")
        assert [type(row) for row in rows] == [np.ndarray, np.ndarray]
    assert outputs_of(weights.sum(axis=1), 2, "shout:Shout") == [3, 3]
    with pytest.raises(TypeError, match="an array without dimensions"):
        outputs_of(weights.sum(), 1, "shout:Shout")


def test_data_frames_have_an_output_in_each_row() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert outputs_of(frame, 2, "shout:Shout") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert outputs_of(frame["a"], 2, "shout:Shout") == [1, 2]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"a": 1, "b": 2}, r"a dict; .* such as \[{…}\]$"),
        (OrderedDict(a=1, b=2), r"an OrderedDict; .* such as \[{…}\]$"),
        ("ab", r'a str; .* such as \["…"\]$'),
        (b"ab", "a bytes; it must"),
        (memoryview(b"ab"), "a memoryview"),
        ({1, 2}, "a set"),
        ({"a": 1, "b": 2}.keys(), "a dict_keys"),
        (None, "None; .* is a `return` missing"),
        (0.5, r"a float; .* such as \[0.5\]$"),
        (True, r"a bool; .* such as \[True\]$"),
        (np.float32(1), "a float32"),
        (np.array(1), "an array without dimensions"),
        (Both("a", 1), "a Both"),
        (InputError("no"), "an InputError"),
        (iter([1, 2]), "an iterator .*list_iterator.*: return \\[generator\\]"),
        ((n for n in (1, 2)), "a generator; .* part by part"),
        (map(str, (1, 2)), "an iterator"),
        ([1], "1 outputs for 2 inputs; it must return a list with one output for each of the 2 inputs, in the same"),
        ([1, 2, 3], "3 outputs for 2 inputs"),
        (np.eye(3), "3 outputs for 2 inputs"),
    ],
)
def test_anything_else_is_named_with_what_would_be_right(returned: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"predict of shout:Shout returned {words}") as caught:
        outputs_of(returned, 2, "shout:Shout")
    assert "a list with one output for each of the 2 inputs" in str(caught.value)
