"""`train` from beginning to end: what it writes, and how it reports errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byo_container.container import manifest
from byo_container.container.failure import REASON_LENGTH
from byo_container.container.job import read_job
from byo_container.training import main
from byo_container.training.artifacts import collect
from byo_container.training.cluster.protocol import HostResult
from byo_container.training.cluster.session import ClusterSession
from byo_container.training.processes.rank import Ranks
from tests.support.tree import Tree, make_tree, write_files

MakeTree = Callable[..., Tree]

HANDLER = """
import json, os, signal, sys, time
from dataclasses import dataclass
from typing import Annotated
from byo_container.container.failure import JobError, JobStopped
from byo_container.container.hyperparameters import Range

class Mine:
    @dataclass(frozen=True)
    class Hyperparameters:
        epochs: Annotated[int, Range(1, 10)] = 1
        name: str = "x"

    def train(self, job):
        BODY
"""
MINE = {"model_handler": "mine:Mine"}


def handler(body: str) -> dict[str, str]:
    """The code of a handler whose `train(self, job)` is `body`."""
    return {"mine.py": HANDLER.replace("BODY", body.strip().replace("\n", "\n        "))}


SAVES = "(job.model_dir / 'model.json').write_text(json.dumps([job.hyperparameters.epochs, job.hyperparameters.name]))"


def test_handler_trains_and_the_manifest_names_it(ml: MakeTree) -> None:
    given = {"epochs": '"3"', "name": '"7"', "sagemaker_region": '"eu"', "_tuning_objective_metric": "loss", **MINE}
    tree = ml(hyperparameters=given, code=handler(SAVES))
    write_files(tree.paths.output, {"failure": "of an older run"})
    done = tree.train()
    assert (done.status, done.failure) == (0, None), done.err
    assert json.loads((tree.paths.model / "model.json").read_text()) == [3, "7"]
    assert json.loads((tree.paths.model / "handler.json").read_text()) == {"handler": "mine:Mine"}
    assert (tree.paths.model / "code/mine.py").is_file()
    assert tree.paths.output_data.is_dir()


def test_a_native_library_that_aborts_at_the_very_end_fails_no_job(ml: MakeTree) -> None:
    """As PyTorch's sometimes do; what Python has to do at its end is done."""
    body = """
import atexit, ctypes, threading
from concurrent.futures import ThreadPoolExecutor
job.model_dir.mkdir(exist_ok=True)
def leave(name, after_s=0.0):
    time.sleep(after_s)
    (job.model_dir / name).write_text("")
atexit.register(leave, "by atexit")
threading.Thread(target=leave, args=("by a thread", 0.5)).start()
Mine.pool = ThreadPoolExecutor(2)
Mine.pool.submit(leave, "by a pool", 0.5)
Mine.aborts = ctypes.CFUNCTYPE(None)(os.abort)
getattr(ctypes.CDLL(None), "__cxa_atexit")(Mine.aborts, None, None)
print("the last word", end="")
"""
    tree = ml(hyperparameters=MINE, code=handler(body))
    done = tree.train()
    assert done.status == 0, done.reason + done.err
    assert "the last word" in done.out
    assert {"by atexit", "by a thread", "by a pool"} <= {path.name for path in tree.paths.model.iterdir()}


def test_the_handler_may_be_named_by_the_environment_and_lie_in_the_working_folder(ml: MakeTree) -> None:
    tree = ml()
    write_files(tree.root, handler(SAVES) | {"training/__init__.py": "raise SystemExit('the wrong room')"})
    done = tree.train(MODEL_HANDLER="mine:Mine")  # the working folder is tree.root
    assert done.status == 0, done.err
    assert (tree.paths.model / "model.json").is_file()


@pytest.mark.parametrize("name", ["container", "training", "serving", "handlers"])
@pytest.mark.parametrize("form", ["{}/__init__.py", "{}.py"])
def test_packages_of_the_user_may_be_called_like_our_folders(
    ml: MakeTree, tmp_path: Path, name: str, form: str
) -> None:
    """In the code of a handler and of a script, and on PYTHONPATH."""
    theirs = {form.format(name): "MINE = True\n"}
    body = f"import {name}; assert {name}.MINE"
    done = ml(hyperparameters=MINE, code=handler(body) | theirs).train()
    assert done.status == 0, done.err
    done = make_tree(tmp_path / "script", code={"train.py": body} | theirs).train()
    assert done.status == 0, done.err
    write_files(tmp_path / "theirs", theirs)
    done = make_tree(tmp_path / "path", code={"train.py": body}).train(PYTHONPATH=str(tmp_path / "theirs"))
    assert done.status == 0, done.err


def test_a_handler_without_declared_hyperparameters_gets_all_as_they_are(ml: MakeTree) -> None:
    code = {"mine.py": "class Mine:\n    def train(self, job): print(sorted(job.hyperparameters.items()))\n"}
    done = ml(hyperparameters={"a": "1", "b": "x", "sagemaker_x": "1", **MINE}, code=code).train()
    assert (done.status, done.out) == (0, "[('a', 1), ('b', 'x')]\n")


def test_what_a_handler_prints_comes_out_as_it_is_printed(ml: MakeTree) -> None:
    process = ml(hyperparameters=MINE, code=handler("print('val_acc=0.5;')\ntime.sleep(30)")).start()
    assert process.stdout
    began = time.monotonic()
    assert process.stdout.readline() == "val_acc=0.5;\n"
    assert time.monotonic() - began < 15
    process.terminate()
    process.communicate()


FAULTS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "a wrong value",
        {"hyperparameters": {"epochs": "11", **MINE}},
        ["hyperparameters.json: epochs = '11' is not right: it must be a whole number, at least 1 and at most 10"],
    ),
    (
        "an unknown name",
        {"hyperparameters": {"epoch": "1", **MINE}},
        ["hyperparameters.json: unknown hyperparameter 'epoch'; did you mean 'epochs'? known are: epochs, name"],
    ),
    ("a missing folder", {"inputs": {"train": {}}}, ["channel 'train': ", "inputdataconfig.json", "is not there"]),
    ("no such module", {"hyperparameters": {"model_handler": "gone:Mine"}}, ["no module 'gone'", "hyperparameters"]),
    ("no such handler", {"hyperparameters": {"model_handler": "nws"}}, ["'nws', which is not installed", "news"]),
    ("no method train", {"code": {"mine.py": "class Mine: pass"}}, ["mine:Mine has no method train(job)"]),
]


@pytest.mark.parametrize(("change", "said"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_bad_input_is_one_sentence_without_a_traceback(ml: MakeTree, change: dict[str, Any], said: list[str]) -> None:
    done = ml(**{"hyperparameters": MINE, "code": handler("pass"), **change}).train()
    assert done.status == 1
    for words in said:
        assert words in done.reason
        assert words in done.err
    assert "Traceback" not in done.reason + done.err


def test_invalid_json_in_config_is_reported_by_line_and_column(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.resource_config.write_text('{\n"hosts": [')
    done = tree.train()
    assert done.status == 1
    assert done.reason.startswith(f"{tree.paths.resource_config}, line 2, column 11: not valid JSON")


def test_missing_config_is_reported(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.hyperparameters.unlink()
    assert tree.train().reason.startswith(f"{tree.paths.hyperparameters} is missing")


# How training can end badly, and what the reason must begin with; {code} is the folder of the code.
ENDS = {
    "a joberror": ("raise JobError('data.csv, line 3: no title')", 1, "data.csv, line 3: no title"),
    "an exception": ("raise ValueError('torn')", 1, "ValueError: torn\n  in {code}/mine.py, line 15, train"),
    "an oserror without errno": ("raise OSError('x')", 1, "OSError: x\n  in {code}/mine.py, line 15, train"),
    "a group": (
        "raise ExceptionGroup('tasks', [ValueError('torn'), KeyError('a')])",
        1,
        "ExceptionGroup: tasks (2 sub-exceptions)\n  in {code}/mine.py, line 15, train\n"
        "  - ValueError: torn\n  - KeyError: 'a'\n",
    ),
    "a chain": (
        "raise ValueError('torn') from KeyError('a')",
        1,
        "ValueError: torn\n  in {code}/mine.py, line 15, train\ncaused by KeyError: 'a'\n",
    ),
    "in a library": ("json.loads('{')", 1, "json.decoder.JSONDecodeError: Expecting property name enclosed in"),
    "sys.exit with a text": ("sys.exit('an error, they say')", 1, "mine:Mine ended with status 1: an error, they say"),
    "sys.exit with a status": ("sys.exit(5)", 5, "mine:Mine ended with status 5"),
    "keyboard interrupt": ("raise KeyboardInterrupt", 130, "mine:Mine was killed by SIGINT"),
    "killed": ("os.kill(os.getpid(), 9)", 137, "mine:Mine was killed by SIGKILL (often: out of memory)"),
    "a segfault": ("import ctypes; ctypes.string_at(0)", 139, "mine:Mine was killed by SIGSEGV (a crash in native"),
    "an abort": ("os.abort()", 134, "mine:Mine was killed by SIGABRT"),
    "recursion": ("def f(): f()\nf()", 1, "RecursionError: maximum recursion depth exceeded\n  in {code}/mine.py"),
}


@pytest.mark.parametrize(("body", "status", "reason"), ENDS.values(), ids=ENDS)
def test_how_a_handler_can_fail(ml: MakeTree, body: str, status: int, reason: str) -> None:
    tree = ml(hyperparameters=MINE, code=handler(body))
    done = tree.train()
    assert done.status == status
    assert done.reason.startswith(reason.format(code=tree.paths.code))
    assert not (tree.paths.model / "handler.json").exists()


DEEP = """
def f(n):
    if n: f(n - 1)
    raise ValueError('x' * 5000)
f(99)
"""


def test_failure_reason_has_1024_characters_message_first_then_the_end_of_the_traceback(ml: MakeTree) -> None:
    tree = ml(
        hyperparameters=MINE, code=handler("def f(n):\n    if n: f(n - 1)\n    raise ValueError('x' * 5000)\nf(99)")
    )
    done = tree.train()
    assert len(done.reason) == REASON_LENGTH
    assert done.reason.startswith("ValueError: xxx")
    assert f"{tree.paths.code}/mine.py, line 17, f\n" in done.reason
    assert done.failure
    assert done.failure.count("f(n - 1)") > 2


def test_a_failure_file_of_the_handlers_own_stays(ml: MakeTree) -> None:
    done = ml(
        hyperparameters=MINE, code=handler("(job.paths.failure).write_text('I know better')\nos._exit(9)")
    ).train()
    assert (done.status, done.failure) == (9, "I know better")


def test_help_is_quick_and_touches_nothing(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    took = []
    for _ in range(3):
        began = time.monotonic()
        done = tree.train("--help")
        took.append(time.monotonic() - began)
        assert (done.status, done.err) == (0, "")
        assert "SAGEMAKER_BASE_DIR" in done.out
    assert list(tmp_path.iterdir()) == []
    assert min(took) < 1.0  # 0.2 s on an idle machine


def test_an_argument_that_train_does_not_know_is_refused(ml: MakeTree) -> None:
    done = ml(hyperparameters=MINE, code=handler(SAVES)).train("--epochs", "3 or 4")
    assert done.status == 1
    assert done.reason.startswith("train takes no arguments, and was given --epochs '3 or 4'; see train --help")


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_bad_stop_timeout_is_refused(ml: MakeTree, text: str) -> None:
    done = ml(hyperparameters=MINE, code=handler(SAVES)).train(TRAINING_STOP_TIMEOUT=text)
    assert f"TRAINING_STOP_TIMEOUT is '{text}'; it must be a number, at least 0" in done.reason


@pytest.mark.parametrize(
    ("environ", "given", "debug"),
    [("", "10", True), ("10", None, True), ("", None, False), ("10", '"info"', False)],
)
def test_the_log_level_is_the_environments_unless_the_job_says_otherwise(
    ml: MakeTree, environ: str, given: str | None, debug: bool
) -> None:
    given_by_job = {"sagemaker_container_log_level": given} if given else {}
    code = handler("from byo_container.container.log import log\nlog.debug('a debugging line')")
    done = ml(hyperparameters={**MINE, **given_by_job}, code=code).train(SAGEMAKER_CONTAINER_LOG_LEVEL=environ)
    assert done.status == 0, done.err
    assert ("a debugging line" in done.err) == debug


# Root without its right to write where modes forbid it.
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def _may_be_bound() -> bool:
    return bool(shutil.which("setpriv")) and subprocess.run([*BOUND_BY_MODES, "true"]).returncode == 0


@pytest.mark.parametrize("folder", ["model", "output", "output/data"])
def test_a_folder_that_cannot_be_written_is_told_before_training(ml: MakeTree, folder: str) -> None:
    if os.geteuid() == 0 and not _may_be_bound():
        pytest.skip("root may write everywhere, and setpriv cannot bind it here")
    tree = ml(hyperparameters=MINE, code=handler("print('trained')"))
    for path in ("model", "output", "output/data"):
        (tree.root / path).mkdir(exist_ok=True)
    (tree.root / folder).chmod(0o555)
    done = tree.train(before=BOUND_BY_MODES if os.geteuid() == 0 else ())
    assert done.status == 1
    said = f"{tree.root / folder} cannot be written to: Permission denied; mount it writable"
    assert said in done.err
    assert "trained" not in done.out
    if folder == "output":
        assert f"could not write the failure file {tree.paths.failure}: " in done.err
    else:
        assert said in done.reason


def test_folder_in_place_of_an_output_file_is_reported(ml: MakeTree) -> None:
    tree = ml(hyperparameters=MINE, code=handler("print('trained')"))
    tree.paths.metrics.mkdir(parents=True)
    done = tree.train()
    assert f"{tree.paths.metrics}, of an older run, cannot be removed: Is a directory; remove it" in done.reason


def test_read_only_mount_is_reported(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(hyperparameters=MINE, code=handler("print('trained')"))
    mount(tree.paths.model, "ro")
    done = tree.train()
    assert f"{tree.paths.model} cannot be written to: Read-only file system" in done.reason
    assert "trained" not in done.out


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_missing_temp_folder_is_reported(ml: MakeTree) -> None:
    done = ml(hyperparameters=MINE, code=handler("print('trained')")).train(before=("prlimit", "--fsize=0"))
    assert done.status == 1
    assert "there is no folder to write temporary files to (No usable temporary directory found in [" in done.err
    assert "as by `docker run --tmpfs /tmp`, or let TMPDIR name one" in done.err
    assert "trained" not in done.out
    assert "Traceback" not in done.err


SAVES_TOO_MUCH = """
from byo_container.container.files.atomic import write_atomically
write_atomically(job.model_dir / 'model.json', 'new' * 100_000)
"""


def test_full_disk_is_reported_and_the_old_model_stays(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(hyperparameters=MINE, code=handler(SAVES_TOO_MUCH))
    mount(tree.paths.model, "size=64k")
    write_files(tree.paths.model, {"model.json": "old"})
    done = tree.train()
    assert done.status == 1
    assert done.reason.startswith("the disk is full: OSError: [Errno 28] No space left on device")
    assert f"in {tree.paths.code}/mine.py, line" in done.reason
    assert [(path.name, path.read_text()) for path in tree.paths.model.iterdir()] == [("model.json", "old")]


def test_a_disk_too_full_for_the_failure_file_does_not_hide_the_failure(
    ml: MakeTree, mount: Callable[..., None]
) -> None:
    fill = (
        "try:\n    (job.paths.output / 'data/x').write_bytes(b'x' * 10**6)\nexcept OSError: pass\nraise ValueError('y')"
    )
    tree = ml(hyperparameters=MINE, code=handler(fill))
    mount(tree.paths.output, "size=64k")
    done = tree.train()
    assert done.status == 1
    assert "ValueError: y" in done.err
    assert f"could not write the failure file {tree.paths.failure}: [Errno 28] No space left on device" in done.err


def test_a_failure_that_the_handlers_process_could_not_write_is_written_when_there_is_room_again(
    ml: MakeTree, mount: Callable[..., None]
) -> None:
    fill = """
import tempfile
self.file = tempfile.TemporaryFile(dir=job.paths.output_data, buffering=0)
try:
    while True: self.file.write(b'x' * 4096)
except OSError: pass
Mine.keep = self.file
raise ValueError('y')
"""
    tree = ml(hyperparameters=MINE, code=handler(fill))
    mount(tree.paths.output, "size=64k")
    done = tree.train()
    assert done.status == 1
    assert done.reason.startswith("ValueError: y")


def test_code_that_cannot_be_copied_fails_no_job_that_has_finished(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(hyperparameters=MINE, code={**handler(SAVES), "table.bin": "x" * 1_000_000})
    mount(tree.paths.model, "size=128k")
    done = tree.train()
    assert (done.status, done.failure) == (0, None), done.err
    assert sorted(path.name for path in tree.paths.model.iterdir()) == ["handler.json", "model.json"]
    assert (
        f"the code in {tree.paths.code} cannot be copied to {tree.paths.model / 'code'}: [Errno 28] No space"
        in done.err
    )


def test_closed_stdout_does_not_end_the_training(ml: MakeTree) -> None:
    tree = ml(hyperparameters=MINE, code=handler("for _ in range(20_000): print('x' * 100)\n" + SAVES))
    process = tree.start()
    assert process.stdout
    process.stdout.close()
    assert process.wait(30) == 0
    assert (tree.paths.model / "model.json").is_file()
    process.communicate()


def test_closed_stderr_does_not_hide_the_failure(ml: MakeTree) -> None:
    tree = ml(code={"train.py": ""})
    tree.paths.report.mkdir(parents=True)  # no older report to be removed: the error is in `train` itself
    process = tree.start()
    assert process.stderr
    process.stderr.close()
    assert process.wait(30) == 1
    process.communicate()
    assert tree.failure
    assert "Is a directory" in tree.failure


NESTS = """
import os, socket
for folder in (os.environ["SM_MODEL_DIR"], "/".join(__file__.split("/")[:-1])):
    os.chdir(folder)
    if os.path.exists("d"):
        continue
    os.mkfifo("fifo")
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
if os.environ["SM_HPS"] != "{}":
    raise ValueError("the real one")
"""


def test_deeply_nested_folders_hide_no_reason_and_fail_no_job(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"epochs": "1"}, code={"train.py": NESTS, "inference.py": ""})
    try:
        failed = tree.train()
        assert failed.status == 1
        assert (failed.failure or "").startswith("ValueError: the real one")
        assert "fifo (no regular file)" in failed.err
        tree.paths.hyperparameters.write_text("{}")
        done = tree.train()
        assert (done.status, done.failure) == (0, None), done.err
        assert (tree.paths.model / "code/inference.py").is_file()
    finally:
        subprocess.run(["rm", "-rf", tree.paths.model, tree.paths.code], check=True)  # noqa: S607


def test_later_error_does_not_replace_the_failure_reason(
    ml: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RecursionError("too deep")

    job = read_job(ml().paths)
    cluster = ClusterSession.of(job, Ranks(tmp_path), 1)
    monkeypatch.setattr(collect, "write_report", fails)
    assert main.finish(job, cluster, HostResult(3, "the real one"), None, {}) == 3
    assert "RecursionError: too deep" in caplog.text
    with pytest.raises(RecursionError):  # which is the reason then
        main.finish(job, cluster, HostResult(0), None, {})


def test_code_that_cannot_be_kept_fails_no_job(
    ml: MakeTree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RecursionError("too deep")

    tree = ml(code={"inference.py": ""})
    monkeypatch.setattr(manifest, "keep", fails)
    main.keep_code(None, tree.paths)
    assert "the code is not kept beside the model: RecursionError: too deep" in caplog.text
