"""Predictions as libraries make them: the same in JSON, CSV, text and npy, exact, and never Python's repr."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import UserDict, namedtuple
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from byo_container.serving.codecs import encoding, plain_values
from byo_container.serving.codecs.media_types import CSV, JSON, JSON_LINES, NPY, TEXT
from byo_container.serving.errors import RequestError

Point = namedtuple("Point", "x y")


class Label(NamedTuple):
    label: str
    score: float


@dataclasses.dataclass
class Box:
    name: str
    area: float
    corners: list[Point] = dataclasses.field(default_factory=list)


class Frame:
    """What a data frame of any library has."""

    columns = ("a", "b")

    def __init__(self, *rows: tuple[Any, Any]) -> None:
        self.rows = rows

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_numpy(self) -> Any:
        return np.array(self.rows)


class Sparse:
    """A sparse matrix of SciPy's."""

    shape = (2, 2)

    def toarray(self) -> Any:
        return np.eye(2)


class Tensor:
    """One on a device, with a gradient: neither NumPy nor a list can be made of it at once."""

    def __init__(self, values: Any, at_hand: bool = False) -> None:
        self.values = np.asarray(values, np.float32)
        self.shape = self.values.shape
        self.at_hand = at_hand

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return Tensor(self.values, True)

    def numpy(self) -> Any:
        if not self.at_hand:
            raise TypeError("can't convert a tensor on a device to numpy")
        return self.values

    __array__ = tolist = numpy


def written(output: Any, name: str, many: bool = False) -> str:
    return encoding.encode(output if many else [output], many, name).decode()


FRAME = Frame((1, 0.5), (2, None))
TENTHS = np.array([0.1, 0.2], np.float32)
BIG = 2**70


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Point(1, 2), [1, 2]),
        ([Point(1, 2)], [[1, 2]]),
        (Box("b", 2.0, [Point(0, 1)]), {"name": "b", "area": 2.0, "corners": [[0, 1]]}),
        (UserDict(a=1), {"a": 1}),
        (MappingProxyType({"a": {1}}), {"a": [1]}),
        ({1, "a", 2.5}, [2.5, 1, "a"]),
        (FRAME, [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]),
        (Tensor([[0.1]]), [[0.1]]),
        (Sparse(), [[1, 0], [0, 1]]),
        (date(2020, 1, 2), "2020-01-02"),
        (np.array(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array([1, 2], ">i4"), [1, 2]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), [[1, 2.5]]),
        (np.ma.masked_array([1, 2], [False, True]), [1, None]),
        ({"a": BIG, "b": [-BIG, float("nan")], "c": TENTHS, "d": Box("é", BIG)}, None),
        ({np.int64(2): [BIG], True: np.array([np.nan], ">f4")}, {"2": [BIG], "true": [None]}),
    ],
)
def test_json_of_library_types(output: Any, expected: Any) -> None:
    if expected is None:
        expected = {"a": BIG, "b": [-BIG, None], "c": [0.1, 0.2], "d": {"name": "é", "area": BIG, "corners": []}}
    assert json.loads(written(output, JSON)) == expected


@pytest.mark.parametrize(
    "value",
    [
        TENTHS,
        list(TENTHS),
        Tensor([0.1, 0.2]),
        np.array([0.1, 9, 0.2], np.float32)[::2],
        TENTHS.astype(">f4"),
        np.array([0.1, 0.2]),
        [0.1, 0.2],
        [np.array(0.1, np.float32), np.float64(0.2)],
        (np.float32(0.1), 0.2),
    ],
)
def test_numbers_have_the_same_digits_in_all_media_types(value: Any) -> None:
    assert written(value, JSON) == "[0.1,0.2]"
    assert written([value], JSON) == "[[0.1,0.2]]"
    assert written([value], CSV, many=True) == "0.1,0.2\n"
    assert written(value, CSV) == written(value, JSON_LINES) == written(value, TEXT) == "0.1\n0.2\n"
    assert written([value], TEXT, many=True) == "0.1 0.2\n"
    assert written({"a": value}, CSV) == '"[0.1,0.2]"\n'


def test_integers_beyond_64_bits_are_exact() -> None:
    assert written([BIG], JSON) == f"[{BIG}]"
    assert written([BIG], CSV) == f"{BIG}\n"


def test_half_surrogates_are_escaped_or_replaced() -> None:
    text = "a\ud800"
    assert written(text, JSON) == '"a\\ud800"'
    assert json.loads(written({text: [text]}, JSON)) == {text: [text]}
    assert written(text, CSV) == written(text, TEXT) == "a?\n"


@pytest.mark.parametrize("big", [[], [BIG]])
def test_too_deep_nesting_is_an_error(big: list[int]) -> None:
    deep: Any = big
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RequestError, match="nested deeper"):
        encoding.encode([deep], False, JSON)
    while deep:  # by hand: the interpreter's own way down is as deep
        deep = deep[0] if isinstance(deep, list) else None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        # One output for one input: what is like a list is several rows, a record one.
        ((1, 2), "1\n2\n"),
        ([1, 2], "1\n2\n"),
        (np.array([1, 2]), "1\n2\n"),
        (((1, 2), (3, 4)), "1,2\n3,4\n"),
        ({"a": 1, "b": 2}, "1,2\n"),
        (Point(1, 2), "1,2\n"),
        (Box("b", 2.0), "b,2.0,[]\n"),
        (FRAME, "1,0.5\n2,\n"),
        (Sparse(), "1.0,0.0\n0.0,1.0\n"),
        # Records whose names come in another order.
        ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], "1,2\n3,4\n"),
        ([Label("x", 0.5), Label("y", 0.25)], "x,0.5\ny,0.25\n"),
        ([{"a": 1}, {"a": 3, "b": 4}], "1\n3,4\n"),
        # What holds several, in one cell, is JSON.
        (
            [[1, {"a": np.float32(0.1)}], [FRAME, {2}]],
            '1,"{""a"":0.1}"\n"[{""a"":1,""b"":0.5},{""a"":2,""b"":null}]",[2]\n',
        ),
        ([None, float("nan"), True, date(2020, 1, 2)], '""\nnan\nTrue\n2020-01-02\n'),
        (np.array(["a,b", "c"]), '"a,b"\nc\n'),
        ("text", "text\n"),
        (0.5, "0.5\n"),
        (np.array(3), "3\n"),
    ],
)
def test_rows_of_csv(output: Any, expected: str) -> None:
    assert written(output, CSV) == expected


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([Tensor([1, 2]), Tensor([3, 4])], [[1, 2], [3, 4]]),
        ([(Tensor([1]), 2.0)], None),
        ([Frame((1, 2))], [[[1, 2]]]),
        ([Sparse()], [[[1, 0], [0, 1]]]),
        ([[Tensor(1)], [Tensor(2)]], [[1], [2]]),
        ([[1, 2], [3]], None),
        ([{"a": 1}], None),
        ([BIG], None),
    ],
)
def test_arrays(outputs: list[Any], expected: Any) -> None:
    if expected is None:
        with pytest.raises(RequestError, match="no array of numbers; Accept application/json") as caught:
            encoding.encode(outputs, True, NPY)
        assert caught.value.status == 406
    else:
        assert np.load(io.BytesIO(encoding.encode(outputs, True, NPY))).tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "bool"])
def test_pytorch_tensors(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1, 0], [1, 1]], dtype=getattr(torch, dtype))
    if tensor.is_floating_point():
        tensor.requires_grad_()
    one, zero = ("1.0", "0.0") if tensor.is_floating_point() else ("True", "False") if dtype == "bool" else ("1", "0")
    assert written(tensor, CSV) == f"{one},{zero}\n{one},{one}\n"
    assert written(tensor, TEXT) == f"{one} {zero}\n{one} {one}\n"
    assert json.loads(written(tensor, JSON)) == [[1, 0], [1, 1]]
    assert np.load(io.BytesIO(encoding.encode(list(tensor), True, NPY))).tolist() == [[1, 0], [1, 1]]
    assert json.loads(written({"score": tensor[0, 0]}, JSON)) == {"score": 1}


def test_pandas_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "t": pandas.to_datetime(["2020-01-02", None])})
    assert json.loads(written(frame, JSON)) == [
        {"a": 1, "b": "x", "t": "2020-01-02T00:00:00"},
        {"a": 2, "b": None, "t": None},
    ]
    assert written(frame[["a", "t"]], CSV) == "1,2020-01-02 00:00:00\n2,\n"
    assert written(frame["a"], JSON) == "[1,2]"
    assert written(frame["a"], CSV) == "1\n2\n"
    assert written(pandas.array([1, None], "Int64"), JSON) == "[1,null]"
    assert np.load(io.BytesIO(encoding.encode([frame[["a"]]], False, NPY))).tolist() == [[1], [2]]


def test_plain_values_need_no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: Any) -> Any:
        raise AssertionError(value)

    monkeypatch.setattr(plain_values, "plain", fail)
    monkeypatch.setattr(plain_values, "_standard", fail)
    assert plain_values.dumps({"a": [1, 2.5, None, True, "é"], "b": TENTHS, "c": np.float32(0.1)})
