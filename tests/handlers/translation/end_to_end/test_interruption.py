"""Jobs that are stopped or killed, and started again, end with the parameters of one that nobody disturbed."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.process.tree import descendants
from tests.handlers.translation.checkpoints import parameters_of
from tests.handlers.translation.support import SMALL, TRANSFORMER, make_tree_below
from tests.support.tree import Finished, Tree

LONGER = {"max_epoch": 6, "save_interval_updates": 4, "eval_bleu": "false", "log_interval": 1}
LAST = "checkpoint_last.pt"
AT_MOST_S = 300  # on a machine that does ten other things
MakeTree = Callable[[str], Tree]

pytestmark = pytest.mark.timeout(4 * AT_MOST_S)


@pytest.fixture(scope="module")
def make(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeTree:
    """Makes /opt/ml for a job that is long enough to be disturbed."""
    root = tmp_path_factory.mktemp("interruption")
    return lambda name: make_tree_below(root / name, sorted(ready.iterdir()), **{**SMALL, **LONGER})


@pytest.fixture(scope="module")
def undisturbed(make: MakeTree) -> str:
    """The parameters of a job that nobody disturbed."""
    tree = make("undisturbed")
    finished = train(tree)
    assert finished.status == 0, finished.err
    return parameters_of(tree.paths.checkpoints / LAST)


def train(tree: Tree) -> Finished:
    return tree.finish(tree.start(), AT_MOST_S)


def await_line(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"train ended without a line that begins with {beginning!r}")


def stop_at(tree: Tree, beginning: str) -> str:
    """The failure reason of a job that got SIGTERM at such a line."""
    process = tree.start()
    await_line(process, beginning)
    process.send_signal(signal.SIGTERM)
    stopped = tree.finish(process, AT_MOST_S)
    assert stopped.status == 143, stopped.err
    assert "a checkpoint is saved" in stopped.reason
    return stopped.reason


@pytest.mark.slow
def test_sigterm_saves_a_checkpoint_and_the_next_run_resumes(make: MakeTree, undisturbed: str) -> None:
    tree = make("stopped")
    reason = stop_at(tree, "update 10:")
    assert "stopped by SIGTERM before it had finished: after update 1" in reason
    finished = train(tree)
    assert finished.status == 0, finished.err
    assert "update 5:" not in finished.out, "it must not begin anew"
    assert parameters_of(tree.paths.checkpoints / LAST) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_job_resumes_after_sigkill_at_any_moment(make: MakeTree, undisturbed: str, seed: int) -> None:
    tree, dice = make(f"killed-{seed}"), random.Random(seed)  # noqa: S311
    for update in sorted(dice.sample(range(5, 50), 2)):
        process = tree.start()
        await_line(process, f"update {update}:")
        time.sleep(dice.random() * 0.3)
        kill_all(process)
    finished = train(tree)
    assert finished.status == 0, finished.err
    assert parameters_of(tree.paths.checkpoints / LAST) == undisturbed


@pytest.mark.slow
def test_sigkill_while_a_checkpoint_is_written(make: MakeTree, undisturbed: str) -> None:
    tree = make("torn")
    for number in range(3):
        process = tree.start()
        await_update(process, 10 * (number + 1))
        torn: list[Path] = []
        while not torn and process.poll() is None:
            torn = list(tree.paths.checkpoints.glob("*.tmp"))
        kill_all(process)
    finished = train(tree)
    assert finished.status == 0, finished.err
    assert parameters_of(tree.paths.checkpoints / LAST) == undisturbed
    assert not list(tree.paths.checkpoints.glob("*.tmp"))


def await_update(process: subprocess.Popen[str], least: int) -> None:
    """Until that update or a later one, for a run may go on from beyond it."""
    assert process.stdout
    for line in process.stdout:
        if (found := re.match(r"update (\d+):", line)) and int(found[1]) >= least:
            return
    raise AssertionError(f"train ended without update {least}")


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to all that runs, as where a machine dies."""
    for pid in [process.pid, *descendants(process.pid)]:  # listed before the first is killed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_two_ranks_stop_at_the_same_update_and_resume(ready: Path, tmp_path: Path) -> None:
    two = {**TRANSFORMER, **LONGER, "launcher": "torchrun", "processes_per_host": 2, "max_epoch": 12}
    once, again = (make_tree_below(tmp_path / name, sorted(ready.iterdir()), **two) for name in ("once", "again"))
    assert train(once).status == 0
    stop_at(again, "update 12:")
    finished = train(again)
    assert finished.status == 0, finished.err
    paths = [tree.paths.checkpoints / LAST for tree in (once, again)]
    assert parameters_of(paths[0]) == parameters_of(paths[1])
