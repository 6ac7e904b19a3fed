"""SIGTERM at the awkward moments: before training, while pip installs, while a FIFO is awaited, at the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container.child import descendants
from tests.support import Finished, Tree, wait_until, write_files

MakeTree = Callable[..., Tree]

NEVER = {"train.py": "print('must not run')", "requirements.txt": "./packages/slow\n"}
BACKEND = """
import pathlib, signal, sys, time
{}
pathlib.Path({!r}).touch()
time.sleep(60)
"""


def slow_package(tree: Tree, prelude: str) -> Path:
    """A requirement that touches the file which is returned, and then is not done for a minute."""
    ready = tree.root / "ready"
    files = {
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": BACKEND.format(prelude, str(ready)),
    }
    write_files(tree.paths.code / "packages/slow", files)
    return ready


def stop_when(tree: Tree, ready: Callable[[], object], **environ: str) -> Finished:
    process = tree.start(**environ)
    wait_until(ready, "the moment to stop")
    process.terminate()
    return tree.finish(process, timeout_s=30)


def test_while_pip_installs(ml: MakeTree) -> None:
    tree = ml(code=NEVER)
    began = time.monotonic()
    done = stop_when(tree, slow_package(tree, "").exists, PIP_NO_INDEX="1")
    assert done.status != 0
    assert done.reason.startswith(f"pip install -r requirements.txt in {tree.paths.code} ")
    assert "must not run" not in done.out
    assert time.monotonic() - began < 20


def test_before_training_begins(ml: MakeTree, tmp_path: Path) -> None:
    # nvidia-smi is asked before anything is started: one that hangs holds the job there.
    driver, ready = tmp_path / "bin/nvidia-smi", tmp_path / "ready"
    write_files(driver.parent, {driver.name: f"#!/bin/sh\ntouch {ready}\nexec sleep 60\n"})
    driver.chmod(0o755)
    tree = ml(code={"train.py": "print('must not run')"})
    done = stop_when(tree, ready.exists, PATH=f"{driver.parent}:{os.environ['PATH']}")
    assert (done.status, done.out) == (143, "")
    assert done.reason == "stopped by SIGTERM before it had finished: before training began\n"


READS = """
class Mine:
    def train(self, job):
        (job.output_data_dir / "ready").touch()
        print([stream.read() for _, stream in job.channel("training").streams()])
"""


@pytest.mark.parametrize("there", [False, True], ids=["not there yet", "without a writer"])
def test_while_a_fifo_is_awaited(ml: MakeTree, there: bool) -> None:
    tree = ml(
        hyperparameters={"model_handler": "mine:Mine"},
        inputs={"training": {"TrainingInputMode": "Pipe"}},
        code={"mine.py": READS},
    )
    tree.paths.data.mkdir()
    if there:
        os.mkfifo(tree.paths.data / "training_0")
    done = stop_when(tree, (tree.paths.output_data / "ready").exists)
    assert (done.status, done.out) == (143, "")
    assert done.reason.startswith("stopped by SIGTERM before it had finished")


def test_after_training_has_finished_while_its_code_is_kept(ml: MakeTree) -> None:
    # A script that ends well the moment it is told to: SIGTERM has come, and the job is done all the same.
    code = {
        "train.py": "import os, signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(0))\n"
        "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/ready', 'w')\ntime.sleep(60)\n",
        "inference.py": "",
    }
    tree = ml(code={**code, **{f"data/{n}": "x" * 1000 for n in range(2000)}})
    process = tree.start()
    wait_until((tree.paths.output_data / "ready").exists, "the script to be ready")
    process.terminate()
    wait_until((tree.paths.model / ".code.new").exists, "the copying to begin")
    os.kill(process.pid, signal.SIGTERM)
    done = tree.finish(process, timeout_s=30)
    assert (done.status, done.failure) == (0, None), done.err
    assert len(list((tree.paths.model / "code/data").iterdir())) == 2000


def test_after_a_failure_its_reason_stays(ml: MakeTree) -> None:
    # The script leaves a FIFO where a reason is looked for: process 1 then waits for who writes one.
    code = "import os, sys\nos.mkfifo(os.environ['SM_OUTPUT_DIR'] + '/failure')\nsys.exit(3)\n"
    tree = ml(code={"train.py": code})
    process = tree.start()
    wait_until(tree.paths.failure.is_fifo, "the FIFO")
    with tree.paths.failure.open("w") as fifo:  # open on both sides: process 1 reads
        for pid in [process.pid, *descendants(process.pid)]:
            os.kill(pid, signal.SIGTERM)
        fifo.write("the disk is on fire")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, ""), err


def test_while_what_the_script_has_left_behind_is_ended(ml: MakeTree) -> None:
    # The daemon is told to end when the script has ended well; SIGTERM that comes then has nothing to stop.
    daemon = "import signal, time\n{}\nsignal.signal(15, told)\nopen('{}', 'w')\ntime.sleep(60)\n"
    told = "def told(*_):\n    open('{}', 'w')\n    time.sleep(1)\n    raise SystemExit"
    script = "import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, 'daemon.py'])\n"
    tree = ml()
    ready, ending = tree.root / "ready", tree.root / "ending"
    files = {
        "train.py": f"{script}while not os.path.exists('{ready}'): time.sleep(0.01)\n",
        "daemon.py": daemon.format(told.format(ending), ready),
    }
    write_files(tree.paths.code, files)
    done = stop_when(tree, ending.exists)
    assert (done.status, done.failure) == (0, None), done.err


def test_a_script_that_ends_with_143_itself_was_not_killed(ml: MakeTree) -> None:
    code = "import os, signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(143))\n"
    code += "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/ready', 'w')\ntime.sleep(60)\n"
    tree = ml(code={"train.py": code})
    done = stop_when(tree, (tree.paths.output_data / "ready").exists)
    assert (done.status, done.failure) == (143, "train.py was stopped by SIGTERM, and ended with status 143\n")


SAVES = """
import time
from container.failure import JobStopped

class Mine:
    def train(self, job):
        try:
            (job.output_data_dir / "ready").touch()
            time.sleep(60)
        except JobStopped:
            (job.output_data_dir / "saving").touch()
            time.sleep(1)
            (job.model_dir / "saved").touch()
            raise
"""


def test_a_second_time_while_a_handler_saves(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"model_handler": "mine:Mine"}, code={"mine.py": SAVES})
    process = tree.start()
    wait_until((tree.paths.output_data / "ready").exists, "the handler to be ready")
    process.terminate()
    wait_until((tree.paths.output_data / "saving").exists, "the saving to begin")
    for child in descendants(process.pid):  # as a platform does that tells every process
        os.kill(child, signal.SIGTERM)
    assert tree.finish(process, timeout_s=30).status == 143
    assert (tree.paths.model / "saved").exists()
