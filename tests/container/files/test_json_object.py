"""Config files that hold one JSON object: every fault is named with file and place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.failure import JobError
from byo_container.container.files.json_object import read_object


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"epochs": "3",\n "units": ', "line 2, column 11: not valid JSON (Expecting value); it should hold one"),
        (b"", "line 1, column 1: not valid JSON"),
        (b'{"a": "1"} {}', "line 1, column 12: not valid JSON (Extra data)"),
        (b'["a"]', "should hold a JSON object such as {}, and holds a list"),
        (b"null", "holds null"),
        (b"3", "holds a number"),
        (b"true", "holds a boolean"),
        (b'"{}"', "holds a text"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 7)"),
        (b"\xff\xfe{\x00}\x00", "is not UTF-8 (byte 0)"),
        (b'{"a": ' + b"[" * 100_000, "holds what no config file should: maximum recursion"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds what no config file should"),
    ],
)
def test_bad_config_file_is_refused_with_line_and_column(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_bytes(content)
    with pytest.raises(JobError) as refused:
        read_object(path)
    assert str(refused.value).startswith(str(path))
    assert said in str(refused.value)


def test_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"resourceconfig\.json is missing; the platform writes it"):
        read_object(tmp_path / "resourceconfig.json")


def test_unreadable_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="cannot be read: Is a directory"):
        read_object(tmp_path)


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "1"}')
    assert read_object(path) == {"a": "1"}


@given(st.binary())
def test_arbitrary_bytes_give_an_object_or_a_joberror(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with contextlib.suppress(JobError):
        assert isinstance(read_object(path), dict)
