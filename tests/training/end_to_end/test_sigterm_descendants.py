"""SIGTERM reaches every descendant of `train` once, in whatever process group or session, and leaves time to save."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import wait_until
from tests.support.tree import Finished, Tree
from tests.training.support.scripts import IGNORES, SAVES

MakeTree = Callable[..., Tree]

PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "save.py", "session-of-a-parent-that-dies"], start_new_session=True)
"""
PASSES_ON = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "save.py", "signalled-by-its-parent"], start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
child.wait()
"""
BESIDE = [
    '"$PYTHON" save.py plain &',
    'timeout 1000 "$PYTHON" save.py timeout &',
    'setsid "$PYTHON" save.py setsid &',
    'nohup "$PYTHON" save.py nohup &',
    '(setsid "$PYTHON" save.py daemon &)',
    """bash -c 'set -m; "$PYTHON" save.py job-control & wait' &""",
    """bash -c 'trap "echo trapped" EXIT; timeout 1000 "$PYTHON" save.py shell-with-a-trap; true' &""",
    '"$PYTHON" parent.py &',
    '"$PYTHON" passes_on.py &',
]
NAMES = [
    *("plain", "timeout", "setsid", "nohup", "daemon", "job-control", "shell-with-a-trap"),
    *("session-of-a-parent-that-dies", "signalled-by-its-parent"),
]


def stop(ml: MakeTree, shell: str, names: list[str], **environ: str) -> tuple[Finished, Tree]:
    """Runs `train` on a shell script, and sends SIGTERM when the programs `names` are ready."""
    files = {"save.py": SAVES, "parent.py": PARENT, "passes_on.py": PASSES_ON, "run.sh": f"#!/bin/bash\n{shell}\n"}
    tree = ml(code=files)
    process = tree.start(SAGEMAKER_PROGRAM="run.sh", PYTHON=sys.executable, **environ)
    data = tree.paths.output_data
    wait_until(lambda: process.poll() is not None or all(map(Path.exists, map(data.joinpath, names))), "all programs")
    process.terminate()
    return tree.finish(process, timeout_s=60), tree


def test_sigterm_reaches_every_descendant_once_with_time_to_save(ml: MakeTree) -> None:
    done, tree = stop(ml, "\n".join([*BESIDE, "wait"]), NAMES)
    assert {path.name: path.read_text() for path in tree.paths.model.iterdir()} == dict.fromkeys(NAMES, "SIGTERM")
    assert sorted(line for line in done.out.splitlines() if "saves" in line) == sorted(f"{n} saves" for n in NAMES)
    assert "BrokenPipe" not in done.err
    assert done.status == 143


def test_sigterm_through_exec_timeout(ml: MakeTree) -> None:
    done, tree = stop(ml, 'exec timeout 1000 "$PYTHON" save.py only', ["only"])
    assert (tree.paths.model / "only").read_text() == "SIGTERM"
    assert "only saves\n" in done.out
    assert done.status == 143


def test_session_that_ignores_sigterm_is_killed_after_the_stop_timeout(ml: MakeTree) -> None:
    shell = f"setsid \"$PYTHON\" -c '{IGNORES}' & wait"
    done, _ = stop(ml, shell, ["deaf"], TRAINING_STOP_TIMEOUT="0.5")
    assert "still runs after 0 s: SIGKILL" in done.err
    assert done.status == 143
