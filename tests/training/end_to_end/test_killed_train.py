"""SIGKILL of either process of `train`: the processes of the job may save, and end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.process.tree import descendants
from tests.support.processes import runs, wait_until
from tests.support.tree import Tree
from tests.training.support.scripts import IGNORES, SAVES

MakeTree = Callable[..., Tree]

FILES = {
    "save.py": SAVES,
    "ignore.py": IGNORES,
    "run.sh": "#!/bin/bash\nsetsid $PYTHON save.py saved &\n(setsid $PYTHON ignore.py &)\n$PYTHON save.py plain\n",
}
READY = ("saved", "plain", "deaf")


def start(tree: Tree, ready: tuple[str, ...], **environ: str) -> tuple[subprocess.Popen[str], list[int]]:
    """`train`, when the programs `ready` are, and the pids of all its processes: guardian, supervisor, the others."""
    process = tree.start(PYTHON=sys.executable, **environ)
    data = tree.paths.output_data
    wait_until(
        lambda: process.poll() is not None or all(map(Path.exists, map(data.joinpath, ready))), "all programs", 60
    )
    assert process.poll() is None, process.communicate()
    return process, [process.pid, *descendants(process.pid)]


def end(process: subprocess.Popen[str], pids: list[int]) -> tuple[str, str]:
    """What was said, when none of the processes runs any more."""
    out, err = process.communicate(timeout=60)
    wait_until(lambda: not any(map(runs, pids)), "all processes to end")
    return out, err


@pytest.mark.parametrize("number", [0, 1], ids=["the guardian", "the supervisor"])
def test_no_process_survives_a_killed_train(ml: MakeTree, number: int) -> None:
    tree = ml(code=FILES)
    process, pids = start(tree, READY, SAGEMAKER_PROGRAM="run.sh", TRAINING_STOP_TIMEOUT="5")
    assert len(pids) >= 6
    os.kill(pids[number], signal.SIGKILL)
    out, err = end(process, pids)
    for name in ("saved", "plain"):
        assert (tree.paths.model / name).read_text() == "SIGTERM"
        assert f"{name} saves\n" in out
    assert "still runs after 5 s: SIGKILL" in err
    if number == 0:
        assert process.returncode == -signal.SIGKILL
        assert tree.failure == "run.sh was killed by SIGTERM\n"
    else:
        assert process.returncode == 128 + signal.SIGKILL
        died = "train itself was killed by SIGKILL (often: out of memory)"
        assert tree.failure == f"{died}, and what it had started was stopped\n"


def test_direct_child_gets_sigterm_once_and_then_sigkill(ml: MakeTree) -> None:
    tree = ml(code={"train.py": IGNORES})
    process, pids = start(tree, ("deaf",), TRAINING_STOP_TIMEOUT="1")
    os.kill(pids[1], signal.SIGKILL)
    end(process, pids)
    assert process.returncode == 137


def test_failure_file_of_the_script_is_kept(ml: MakeTree) -> None:
    code = 'import os\nopen(os.environ["SM_OUTPUT_DIR"] + "/failure", "w").write("mine")\n' + IGNORES
    tree = ml(code={"train.py": code})
    process, pids = start(tree, ("deaf",), TRAINING_STOP_TIMEOUT="0")
    os.kill(pids[1], signal.SIGKILL)
    end(process, pids)
    assert (process.returncode, tree.failure) == (137, "mine")


RANK = SAVES.replace("sys.argv[1]", "os.environ.get('RANK') or os.environ['OMPI_COMM_WORLD_RANK']")


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["the guardian", "the supervisor"])
@pytest.mark.parametrize("launcher", ["torchrun", "mpi"])
def test_ranks_save_and_end_when_train_is_killed(ml: MakeTree, launcher: str, number: int) -> None:
    if launcher == "torchrun":
        pytest.importorskip("torch")
    if launcher == "mpi" and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    given = {"launcher": launcher, "processes_per_host": "2"}
    host = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
    tree = ml(hyperparameters=given, resources=host, code={"train.py": RANK})
    process, pids = start(tree, ("0", "1"))
    os.kill(pids[number], signal.SIGKILL)
    end(process, pids)
    # Open MPI gives its ranks no time when it gets the signal itself, as from the kernel where the supervisor dies.
    if (launcher, number) != ("mpi", 1):
        assert {path.name: path.read_text() for path in tree.paths.model.iterdir()} == {"0": "SIGTERM", "1": "SIGTERM"}
