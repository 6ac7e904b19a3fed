"""Which processes get a signal that is meant for all: decided on tables, for no process has to run for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from byo_container.container.process import tree
from byo_container.container.process.tree import Process, descendants
from tests.support.processes import wait_until

TRAIN = 1


def processes(*rows: tuple[int, int, int, str]) -> dict[int, Process]:
    """Rows of pid, parent, group and name. Nothing depends on sessions here."""
    return {pid: Process(pid, parent, group, group, name, 0) for pid, parent, group, name in rows}


SHELL = (10, TRAIN, 10, "bash")
PYTHON = (10, TRAIN, 10, "python")


@pytest.mark.parametrize(
    ("rows", "answering", "due"),
    [
        pytest.param([SHELL, (11, 10, 10, "python")], [11], [10, 11], id="one group"),
        pytest.param([SHELL, (11, 10, 11, "python")], [11], [10, 11], id="set -m, setsid"),
        pytest.param([SHELL, (11, 10, 11, "timeout"), (12, 11, 11, "python")], [11, 12], [10, 12], id="timeout"),
        pytest.param([(10, TRAIN, 10, "timeout"), (11, 10, 10, "python")], [10, 11], [11], id="exec timeout"),
        pytest.param(
            [PYTHON, (11, 10, 10, "worker")], [10], [10, 11], id="workers in the group of a script that saves"
        ),
        pytest.param([PYTHON, (11, 10, 11, "helper")], [10], [10], id="helpers of a script that saves"),
        pytest.param([PYTHON, (11, 10, 11, "helper")], [], [10, 11], id="helpers of a script that dies at once"),
        pytest.param([PYTHON, (11, 10, 11, "bash"), (12, 11, 12, "x")], [10], [10], id="and what these have started"),
        pytest.param([(11, TRAIN, 11, "helper")], [], [11], id="helpers of a script that has ended"),
    ],
)
def test_to_signal_skips_forwarders_and_children_of_programs_with_handlers(
    rows: Sequence[tuple[int, int, int, str]], answering: list[int], due: list[int]
) -> None:
    table = processes((TRAIN, 0, TRAIN, "train"), *rows)
    roots = [process.pid for process in table.values() if process.parent == TRAIN]
    signalled = tree.to_signal(table, roots, lambda process: process.pid in answering)
    assert sorted(process.pid for process in signalled) == due


TRAPS = "trap 'echo' TERM; echo; sleep 60; true"
HANDLES = "import signal, time; signal.signal(15, {}); print(flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        ([sys.executable, "-c", HANDLES.format("print")], True),
        ([sys.executable, "-c", HANDLES.format("signal.SIG_IGN")], False),
        (["bash", "-c", TRAPS], False),
        (["sh", "-c", TRAPS], False),
    ],
    ids=["a program with a handler", "one that ignores it", "bash", "sh"],
)
def test_stops_its_children(command: list[str], answers: bool) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        process.stdout.readline()
        found = tree.snapshot()[process.pid]
        assert tree.stops_its_children(found) is answers
        os.killpg(process.pid, signal.SIGKILL)
    assert not tree.stops_its_children(found), "it has ended"


def test_snapshot_has_this_process() -> None:
    before = tree.now_in_ticks()
    own = tree.snapshot()[os.getpid()]
    assert (own.parent, own.group, own.session) == (os.getppid(), os.getpgid(0), os.getsid(0))
    assert 0 < own.started <= before
    assert not own.is_zombie


def test_descendants_with_parentheses_in_their_name(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        wait_until(lambda: process.pid in set(descendants(os.getpid())), "the child to be listed")
    finally:
        process.kill()
        process.wait()
    assert process.pid not in set(descendants(os.getpid()))
