"""Merges the logs of several hosts."""

from __future__ import annotations

import io
import os

import pytest

from byo_container.container.process.output import LONGEST_HELD, Output
from local_test.screen import HostStream, Screen, wants_colour


def shown(*pieces: bytes) -> list[bytes]:
    """What is shown of an output that comes in pieces."""
    lines: list[bytes] = []
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        output = Output(stream, copy_to=-1, whole_lines=True)
        output.sink = HostStream(lines.extend).write
        for piece in pieces:
            os.write(write_end, piece)
            assert output.copy()
        assert output.copy(), "nothing has come, and it is not the end"
        os.close(write_end)
        assert not output.copy()
    return lines


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"one\ntw", b"o\n\nthree"), [b"one", b"two", b"", b"three"]),
        ((b"one\r", b"\ntwo\r\n"), [b"one", b"two"]),
        ((b"\r 10%\r 20%", b"\r 30%\n", b"done"), [b" 10%", b" 20%", b" 30%", b"done"]),
        ((b"\xff\xfe\n",), [b"\xff\xfe"]),
        ((b"\r\n", b"\r\n"), [b"", b""]),
        ((b"10%\r", b"20%\r", b"\n"), [b"10%", b"20%"]),
    ],
)
def test_lines_are_whole_and_each_state_of_a_progress_bar_is_one(pieces: tuple[bytes, ...], lines: list[bytes]) -> None:
    assert shown(*pieces) == lines


def test_line_without_an_end_is_shown_when_it_is_too_long() -> None:
    pieces = [b"x" * 60_000, b"y" * (LONGEST_HELD + 1 - 60_000), b"z"]
    assert shown(*pieces) == [pieces[0] + pieces[1], b"z"]


def test_lines_have_aligned_and_coloured_host_names_in_front() -> None:
    plain, coloured = io.BytesIO(), io.BytesIO()
    for out in (plain, coloured):
        screen = Screen(["algo-9", "algo-10"], out, coloured=out is coloured)
        screen.show("algo-9", [b"one", b"two"])
        screen.show("algo-10", [b"three"])
    assert plain.getvalue() == b"algo-9  | one\nalgo-9  | two\nalgo-10 | three\n"
    assert coloured.getvalue().startswith(b"\x1b[36malgo-9  |\x1b[0m one\n")
    assert b"\x1b[33malgo-10 |\x1b[0m three\n" in coloured.getvalue()


@pytest.mark.parametrize(
    ("environ", "on_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
    ],
)
def test_colours_on_terminals_and_by_environment(environ: dict[str, str], on_terminal: bool, elsewhere: bool) -> None:
    ours, terminal = os.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as out:
        assert wants_colour(out, environ) == on_terminal
    os.close(ours)
    assert wants_colour(io.BytesIO(), environ) == elsewhere
