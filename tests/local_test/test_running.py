"""Logs of several hosts as one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_test.hosts import Command, Host
from local_test.running import LONGEST_LINE, Lines, Running, Screen, wants_colour


def shown(*pieces: bytes) -> list[bytes]:
    """What is shown of an output that comes in pieces."""
    lines: list[bytes] = []
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        output = Lines(stream, lines.extend)
        for piece in pieces:
            os.write(write_end, piece)
            assert output.read()
        assert output.read(), "nothing has come, and it is not the end"
        os.close(write_end)
        output.finish()
    return lines


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"one\ntw", b"o\n\nthree"), [b"one", b"two", b"", b"three"]),
        ((b"one\r", b"\ntwo\r\n"), [b"one", b"two"]),
        ((b"\r 10%\r 20%", b"\r 30%\n", b"done"), [b" 10%", b" 20%", b" 30%", b"done"]),
        ((b"\xff\xfe\n",), [b"\xff\xfe"]),
    ],
)
def test_lines_come_whole(pieces: tuple[bytes, ...], lines: list[bytes]) -> None:
    assert shown(*pieces) == lines


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    pieces = [b"x" * 60_000, b"y" * (LONGEST_LINE + 1 - 60_000), b"z"]
    assert shown(*pieces) == [pieces[0] + pieces[1], b"z"]


def test_names_stand_in_front_in_columns_and_in_colours() -> None:
    plain, coloured = io.BytesIO(), io.BytesIO()
    for out in (plain, coloured):
        screen = Screen(["algo-9", "algo-10"], out, coloured=out is coloured)
        screen.show("algo-9", [b"one", b"two"])
        screen.show("algo-10", [b"three"])
    assert plain.getvalue() == b"algo-9  | one\nalgo-9  | two\nalgo-10 | three\n"
    assert coloured.getvalue().startswith(b"\x1b[36malgo-9  |\x1b[0m one\n")
    assert b"\x1b[33malgo-10 |\x1b[0m three\n" in coloured.getvalue()


def test_a_host_whose_player_died_before_it_could_ask_for_its_signal_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as if process 1 had started it, and died at once
    host = Running(Host("algo-1", tmp_path, Command(["true"])), None)
    assert host.process.wait() == 143


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
def test_colours_are_for_terminals_and_who_asks(environ: dict[str, str], on_terminal: bool, elsewhere: bool) -> None:
    ours, terminal = os.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as out:
        assert wants_colour(out, environ) == on_terminal
    os.close(ours)
    assert wants_colour(io.BytesIO(), environ) == elsewhere


# In a process of its own, for it ends whatever is below it.
UNHEARD = """
import sys
from pathlib import Path
from local_test import running
from local_test.hosts import Command, Host
running.FAILURE_GRACE_S = 1
here = Path("/")
hosts = [Host("a", here, Command(["sleep", "60"])), Host("b", here, Command(["sh", "-c", "echo b; exit 9"]))]
screen = running.Screen(["a", "b"], sys.stdout.buffer, False)
ended = running.run(hosts, lambda command, process: not process.terminate(), running.Stop(), screen)
print([(each.host.name, each.status) for each in ended])
"""


def test_hosts_that_do_not_hear_of_a_failure_are_stopped() -> None:
    """As when one container of two does not start."""
    done = subprocess.run([sys.executable, "-c", UNHEARD], capture_output=True, text=True, timeout=20)
    assert done.stdout == "b | b\n[('b', 9), ('a', 143)]\n", done.stderr
    assert "stopping the other hosts, which do not know that b has failed" in done.stderr
