"""SIGTERM at every stage of a job: before training, while pip installs, while a FIFO is opened, at the end."""

from __future__ import annotations

import os
import select
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from byo_container.container.process.tree import descendants
from tests.support.processes import wait_until
from tests.support.tree import Finished, Tree, write_files

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


def test_sigterm_while_pip_installs(ml: MakeTree) -> None:
    tree = ml(code=NEVER)
    began = time.monotonic()
    done = stop_when(tree, slow_package(tree, "").exists, PIP_NO_INDEX="1")
    assert done.status != 0
    assert done.reason.startswith(f"pip install -r requirements.txt in {tree.paths.code} ")
    assert "must not run" not in done.out
    assert time.monotonic() - began < 20


def test_sigterm_before_training_begins(ml: MakeTree, tmp_path: Path) -> None:
    # nvidia-smi runs before anything is started: one that hangs holds the job there.
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
def test_sigterm_while_a_fifo_is_opened(ml: MakeTree, there: bool) -> None:
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


def test_sigterm_after_training_while_the_code_is_copied(ml: MakeTree) -> None:
    # A script that ends well at once on SIGTERM: SIGTERM has come, and the job is done all the same.
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


def test_sigterm_reaches_the_handler_while_the_log_is_blocked(ml: MakeTree) -> None:
    """A log driver that is stuck keeps the output of `train` waiting, and must not keep SIGTERM."""
    code = """
        import os, signal, sys
        def save(*_):
            print("saving")
            open(os.path.join(os.environ["SM_MODEL_DIR"], "saved"), "w").close()
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "ready"), "w").close()
        while True:
            print("x" * 1000)
    """
    tree = ml(code={"train.py": textwrap.dedent(code)})
    read_end, write_end = os.pipe()
    closing = f'exec "$@" >/proc/{os.getpid()}/fd/{write_end} 2>&1'
    process = tree.start(before=("sh", "-c", closing, "sh"), TRAINING_STOP_TIMEOUT="20")
    wait_until((tree.paths.output_data / "ready").exists, "the script to be ready")
    wait_until(lambda: not select.select([], [write_end], [], 0)[1], "the pipe to be full")
    process.terminate()
    assert process.wait(60) == 143
    assert (tree.paths.model / "saved").exists()
    assert "was stopped by SIGTERM, and ended with status 143" in tree.paths.failure.read_text()
    os.close(read_end)
    os.close(write_end)


def test_sigterm_while_leftover_processes_are_ended(ml: MakeTree) -> None:
    # The daemon gets SIGTERM when the script has ended well; SIGTERM that comes then has nothing to stop.
    daemon = "import signal, time\n{}\nsignal.signal(15, end)\nopen('{}', 'w')\ntime.sleep(60)\n"
    end = "def end(*_):\n    open('{}', 'w')\n    time.sleep(1)\n    raise SystemExit"
    script = "import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, 'daemon.py'])\n"
    tree = ml()
    ready, ending = tree.root / "ready", tree.root / "ending"
    files = {
        "train.py": f"{script}while not os.path.exists('{ready}'): time.sleep(0.01)\n",
        "daemon.py": daemon.format(end.format(ending), ready),
    }
    write_files(tree.paths.code, files)
    done = stop_when(tree, ending.exists)
    assert (done.status, done.failure) == (0, None), done.err


def test_exit_status_143_of_a_script_is_not_a_signal(ml: MakeTree) -> None:
    code = "import os, signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(143))\n"
    code += "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/ready', 'w')\ntime.sleep(60)\n"
    tree = ml(code={"train.py": code})
    done = stop_when(tree, (tree.paths.output_data / "ready").exists)
    assert (done.status, done.failure) == (143, "train.py was stopped by SIGTERM, and ended with status 143\n")


SAVES = """
import time
from byo_container.container.failure import JobStopped

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


def test_second_sigterm_while_a_handler_saves(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"model_handler": "mine:Mine"}, code={"mine.py": SAVES})
    process = tree.start()
    wait_until((tree.paths.output_data / "ready").exists, "the handler to be ready")
    process.terminate()
    wait_until((tree.paths.output_data / "saving").exists, "the saving to begin")
    for child in descendants(process.pid):  # as a platform does that tells every process
        os.kill(child, signal.SIGTERM)
    assert tree.finish(process, timeout_s=30).status == 143
    assert (tree.paths.model / "saved").exists()
