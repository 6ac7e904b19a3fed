"""`train` as process 1 of a container, and as an ordinary process: it handles signals, reaps zombies and ends orphans.

`unshare` makes a process 1; it needs root (or user namespaces) but no container.
"""

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
from tests.support.tree import Finished, Tree

MakeTree = Callable[..., Tree]
Stop = Callable[..., Finished]

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture(params=["process 1", "an ordinary process"])
def before(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What goes in front of `train`, to make it what the parameter says."""
    if request.param != "process 1":
        return ()
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare to make a process 1")
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no process 1 can be made here: {tried.stderr.strip()}")
    return UNSHARE


@pytest.fixture
def stop(before: tuple[str, ...]) -> Stop:
    """Starts `train`, sends it SIGTERM once the training code is ready, and waits for its end."""

    def start_and_stop(tree: Tree, number: int = signal.SIGTERM, times: int = 1, **environ: str) -> Finished:
        process = tree.start(before=before, **environ)
        ready = tree.paths.output_data / "ready"
        wait_until(lambda: ready.exists() or process.poll() is not None, "the training code to be ready")
        pid = process.pid if not before else children(process.pid)[0]
        for _ in range(times):
            os.kill(pid, number)
        return tree.finish(process, timeout_s=30)

    return start_and_stop


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


HANDLER = """
import os, sys, time
from byo_container.container.failure import JobStopped
from byo_container.container.process.stop_flag import StopFlag

class Mine:
    def train(self, job):
        ready, saved = job.output_data_dir / "ready", job.model_dir / "saved"
        BODY
"""
CATCHES = """
try:
    ready.touch()
    time.sleep(60)
except Exception:
    saved.write_text("a stop is no fault")
except JobStopped:
    time.sleep(0.5)
    saved.write_text("in time")
    raise JobStopped("epoch 3 of 10 is saved")
"""
ASKS = """
with StopFlag() as stop:
    ready.touch()
    while not stop.requested:
        time.sleep(0.05)
saved.write_text("in time")
"""


def handler(ml: MakeTree, body: str) -> Tree:
    code = HANDLER.replace("BODY", body.strip().replace("\n", "\n        "))
    return ml(hyperparameters={"model_handler": "mine:Mine"}, code={"mine.py": code})


@pytest.mark.parametrize("times", [1, 2])
def test_a_handler_is_stopped_by_an_exception_and_may_save(ml: MakeTree, stop: Stop, times: int) -> None:
    tree = handler(ml, CATCHES)
    done = stop(tree, times=times)
    assert done.status == 143
    assert done.reason == "stopped by SIGTERM before it had finished: epoch 3 of 10 is saved\n"
    assert (tree.paths.model / "saved").read_text() == "in time"


def test_a_handler_that_asks_for_the_stop_and_finishes_has_finished(ml: MakeTree, stop: Stop) -> None:
    tree = handler(ml, ASKS)
    done = stop(tree)
    assert (done.status, done.failure) == (0, None), done.err
    assert (tree.paths.model / "saved").read_text() == "in time"
    assert (tree.paths.model / "handler.json").is_file()


def test_handler_without_stop_handling_is_ended_by_sigterm(ml: MakeTree, stop: Stop) -> None:
    done = stop(handler(ml, "ready.touch()\ntime.sleep(60)"))
    assert done.status == 143
    assert done.reason.startswith("stopped by SIGTERM before it had finished")


def test_an_interrupt_from_the_keyboard_stops_as_well(ml: MakeTree, stop: Stop) -> None:
    tree = handler(ml, CATCHES)
    assert stop(tree, signal.SIGINT).status == 143
    assert (tree.paths.model / "saved").read_text() == "in time"


SCRIPT = """
import os, signal, subprocess, sys, time
ready, saved = os.environ["SM_OUTPUT_DATA_DIR"] + "/ready", os.environ["SM_MODEL_DIR"] + "/saved"

def write(text):
    open(saved, "a").write(text + "\\n")
"""
SAVES = "\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep({}), write('{}'), sys.exit({})))\n"
WAITS = "\nopen(ready, 'w')\ntime.sleep(60)\n"


@pytest.mark.parametrize("status", [0, 7])
def test_a_script_that_saves_and_ends_gives_the_status(ml: MakeTree, stop: Stop, status: int) -> None:
    tree = ml(code={"train.py": SCRIPT + SAVES.format(0.5, "in time", status) + WAITS})
    done = stop(tree)
    assert done.status == status, done.err
    assert (tree.paths.model / "saved").read_text() == "in time\n"
    assert (done.failure or "").startswith("train.py ended with status 7" if status else "")
    assert (done.failure is None) == (status == 0)


def test_script_without_stop_handling_is_ended_by_sigterm(ml: MakeTree, stop: Stop) -> None:
    done = stop(ml(code={"train.py": SCRIPT + WAITS}))
    assert done.status == 143
    assert done.reason.startswith("train.py was killed by SIGTERM")


def test_children_of_a_script_get_sigterm(ml: MakeTree, stop: Stop) -> None:
    code = {
        "worker.py": SCRIPT + SAVES.format(0, "worker", 0) + WAITS,
        "train.py": SCRIPT
        + "worker = subprocess.Popen([sys.executable, 'worker.py'])\n"
        + "signal.signal(signal.SIGTERM, lambda *_: None)\nworker.wait()\nwrite('main')\n",
    }
    tree = ml(code=code)
    assert stop(tree).status == 0
    assert (tree.paths.model / "saved").read_text() == "worker\nmain\n"


def test_a_shell_script_does_not_cost_its_program_the_time_to_save(ml: MakeTree, stop: Stop) -> None:
    code = {
        "train.sh": "#!/bin/bash\n$PYTHON save.py\necho done\n",
        "save.py": SCRIPT + SAVES.format(3, "late", 0) + WAITS,
    }
    tree = ml(code=code)
    done = stop(tree, SAGEMAKER_PROGRAM="train.sh", PYTHON=sys.executable)
    assert done.status == 143
    assert (tree.paths.model / "saved").read_text() == "late\n"


def test_script_that_ignores_sigterm_is_killed_after_the_stop_timeout(ml: MakeTree, stop: Stop) -> None:
    code = SCRIPT + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsubprocess.Popen(['sleep', '60'])\n" + WAITS
    done = stop(ml(code={"train.py": code}), TRAINING_STOP_TIMEOUT="0.5")
    assert done.status == 137
    assert done.reason == "train.py was stopped by SIGTERM, did not end in time, and was killed\n"


DOUBLE_FORKS = """
import os, sys, time
for sleep in ("0", "0", sys.argv[2]):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execlp("sleep", "sleep", sleep)
        os._exit(0)
    os.wait()
time.sleep(1)

def state_and_parent(pid):
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[:2]

def records_metrics(pid):  # train's own, beside the script
    with open(f"/proc/{pid}/cmdline") as stream:
        return "byo_container.training.artifacts.tensorboard" in stream.read()

parent = str(os.getppid())
print("parent", parent)
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and not records_metrics(pid)]
orphans = [state for state, of in map(state_and_parent, others) if of == parent]
print("orphans", "".join(sorted(orphans)), flush=True)
"""


def test_zombies_are_reaped_and_orphans_do_not_outlive_train(ml: MakeTree, before: tuple[str, ...]) -> None:
    unique = f"300.{os.getpid()}{os.urandom(3).hex().translate(str.maketrans('abcdef', '012345'))}"
    done = ml(hyperparameters={"t": unique}, code={"train.py": DOUBLE_FORKS}).train(before=before)
    assert done.status == 0, done.err
    assert ("parent 2\n" in done.out) == bool(before), "process 1 is the guardian, and the supervisor its child"
    assert "orphans RS\n" in done.out, "the script and the one that still sleeps; the others have been reaped"
    assert not [pid for pid in descendants(1) if sleeps(pid, unique)]


def sleeps(pid: int, unique: str) -> bool:
    try:
        return runs(pid) and unique.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.mark.parametrize(
    ("code", "status"),
    [("import ctypes; ctypes.string_at(0)", 139), ("import os; os.kill(0, 9)", 137), ("raise OSError('x')", 1)],
)
def test_a_crash_is_never_a_success(ml: MakeTree, before: tuple[str, ...], code: str, status: int) -> None:
    done = ml(code={"train.py": code}).train(before=before)
    assert done.status == status
    assert done.reason
