"""Script mode: a user's own training code runs unchanged and imports nothing of ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.files.archives import unpack
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.container.script_path import FOLDER
from byo_container.container.source.fetch import fetch
from byo_container.training import script
from tests.support.tree import Tree, make_tree, write_files

MakeTree = Callable[..., Tree]

# What a script sees, left where the test finds it.
SHOW = """
import json, os, sys
with open(os.environ["SM_MODEL_DIR"] + "/seen.json", "w") as stream:
    json.dump({"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "name": __name__}, stream)
"""
SHELL = """#!/bin/sh
printf '%s\\n' "$@" > "$SM_MODEL_DIR/words"
"""


NAMES = ("train.py", "other.py", "third.py", "inference.py")


def seen(tree: Tree) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tree.paths.model / "seen.json").read_text())
    return found


def test_train_py_gets_arguments_variables_and_its_working_folder(ml: MakeTree) -> None:
    given = {"epochs": "3", "batch-size": '"32"', "deep": "true", "list": '[1,"a"]', "sagemaker_region": '"eu"'}
    tree = ml(hyperparameters=given, channels={"train": {}}, code={"train.py": SHOW})
    write_files(tree.paths.output, {"failure": "of an older run"})
    done = tree.train()
    assert (done.status, done.failure) == (0, None), done.err
    assert tree.paths.success.read_bytes() == b""
    found = seen(tree)
    assert found["argv"] == ["train.py", "--batch-size", "32", "--deep", "True", "--epochs", "3", "--list", "[1, 'a']"]
    assert (found["cwd"], found["name"]) == (str(tree.paths.code), "__main__")
    assert found["env"]["PYTHONPATH"] == f"{tree.paths.code}{os.pathsep}{FOLDER}"
    assert found["env"]["SM_CHANNEL_TRAIN"] == str(tree.paths.data / "train")
    assert found["env"]["SM_HP_BATCH-SIZE"] == "32"
    assert found["env"]["SM_USER_ENTRY_POINT"] == "train.py"
    assert not (tree.paths.model / "code").exists(), "there is no inference.py, so nothing to serve it with"


@pytest.mark.parametrize(
    ("environ", "given", "runs"),
    [
        ({"SAGEMAKER_PROGRAM": "other.py"}, {}, "other.py"),
        ({"SAGEMAKER_PROGRAM": "other.py"}, {"sagemaker_program": '"third.py"'}, "other.py"),
        ({}, {"sagemaker_program": '"third.py"'}, "third.py"),
        ({}, {"sagemaker_program": "third.py"}, "third.py"),
        ({"SAGEMAKER_PROGRAM": "sub/deep.py"}, {}, "sub/deep.py"),
        ({"SAGEMAKER_PROGRAM": "other.py"}, {"model_handler": "mine:Mine"}, "other.py"),
        ({"SAGEMAKER_PROGRAM": "inference.py"}, {"sagemaker_program": "third.py"}, "third.py"),
        ({"SAGEMAKER_PROGRAM": "inference.py"}, {}, "inference.py"),
    ],
)
def test_program_is_chosen_by_environment_and_hyperparameter(
    ml: MakeTree, environ: dict[str, str], given: dict[str, str], runs: str
) -> None:
    tree = ml(hyperparameters=given, code=dict.fromkeys((*NAMES, "sub/deep.py"), SHOW))
    done = tree.train(**environ)
    assert done.status == 0, done.err
    assert seen(tree)["argv"] == [runs]


@pytest.mark.parametrize(
    ("image", "job", "warning"),
    [
        ("other.py", "third.py", "SAGEMAKER_PROGRAM is other.py, and sagemaker_program third.py; training by other.py"),
        ("inference.py", "third.py", "and sagemaker_program third.py; training by third.py"),
        ("inference.py", "", "SAGEMAKER_PROGRAM makes inference.py the training script"),
        ("other.py", "", None),
        ("other.py", "other.py", None),
        ("", "third.py", None),
    ],
)
def test_ambiguous_program_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, image: str, job: str, warning: str | None
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    script.choose_program(image, job)
    assert (warning in caplog.text) if warning else not caplog.text


def test_packages_named_like_ours_belong_to_the_script(ml: MakeTree) -> None:
    code = {"train.py": "from container import boxes\nfrom training import loop\n", "container/boxes.py": ""}
    done = ml(code={**code, "training/loop.py": "", "training/__init__.py": ""}).train()
    assert done.status == 0, done.err


def test_shell_script_arguments_are_quoted(ml: MakeTree) -> None:
    given = {"text": "two words; $(false)", "none": "null", "sagemaker_program": "train.sh"}
    tree = ml(hyperparameters=given, code={"train.sh": SHELL, "requirements.txt": "there-is-no-such-package\n"})
    done = tree.train()
    assert done.status == 0, done.err
    assert (tree.paths.model / "words").read_text() == "--none\n\n--text\ntwo words; $(false)\n"


def test_code_with_inference_py_is_kept_with_the_model(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "", "inference.py": "def model_fn(model_dir): pass"})
    assert tree.train().status == 0
    assert (tree.paths.model / "code/inference.py").is_file()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("gone.py", "the program 'gone.py' is not in {code} (from {code}), which holds folder, train.py"),
        ("../input/config/hyperparameters.json", "is not in {code}"),
        ("/etc/hostname", "is not in {code}"),
        ("folder", "is not in {code}"),
    ],
)
def test_program_outside_the_code_is_rejected(ml: MakeTree, program: str, said: str) -> None:
    tree = ml(code={"train.py": SHOW})
    (tree.paths.code / "folder").mkdir()
    done = tree.train(SAGEMAKER_PROGRAM=program)
    assert done.status == 1
    assert said.format(code=tree.paths.code) in done.reason


def test_program_may_be_a_symbolic_link(ml: MakeTree, tmp_path: Path) -> None:
    tree = ml(code={"other.py": ""})
    write_files(tmp_path, {"theirs.py": "print('trained')"})
    (tree.paths.code / "my.py").symlink_to(tmp_path / "theirs.py")
    done = tree.train(SAGEMAKER_PROGRAM="my.py")
    assert (done.status, done.out) == (0, "trained\n"), done.err


def test_program_that_is_a_broken_link_is_rejected(ml: MakeTree) -> None:
    tree = ml(code={"other.py": ""})
    (tree.paths.code / "my.py").symlink_to("/nowhere/my.py")
    done = tree.train(SAGEMAKER_PROGRAM="my.py")
    assert "the program 'my.py' in " in done.reason
    assert "is a link to /nowhere/my.py, where there is no file" in done.reason


def make_read_only(mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)  # noqa: S607


@pytest.mark.parametrize("first", ["", "#!/bin/bash -u\n"])
def test_shell_script_on_a_read_only_mount_need_not_be_executable(
    ml: MakeTree, mount: Callable[..., None], first: str
) -> None:
    tree = ml(hyperparameters={"text": "two words", "sagemaker_program": "train.sh"})
    mount(tree.paths.code, "size=64k")
    write_files(tree.paths.code, {"train.sh": f'{first}echo "$0" "$2" "$-"\n'})
    make_read_only(tree.paths.code)
    done = tree.train()
    assert done.status == 0, done.err
    assert done.out.startswith("./train.sh two words ")
    assert ("u" in done.out.split()[-1]) == bool(first)


def test_binary_that_is_not_executable_is_rejected_with_advice(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(hyperparameters={"sagemaker_program": "trainer"})
    mount(tree.paths.code, "size=64k")
    write_files(tree.paths.code, {"trainer": "\x7fELF"})
    make_read_only(tree.paths.code)
    said = f"{tree.paths.code}/trainer is not executable, and cannot be made so: Read-only file system; set its mode"
    assert tree.train().reason.startswith(said)


def test_missing_code_is_explained(ml: MakeTree) -> None:
    done = ml().train(SAGEMAKER_PROGRAM="train.py")
    assert done.status == 1
    assert "the program 'train.py' is not in" in done.reason
    assert "which holds nothing" in done.reason


# How a script can end badly, and what the reason must begin with.
ENDS = {
    "raises": (
        "def f():\n    raise ValueError('torn')\nf()",
        1,
        'ValueError: torn\n  in File "{code}/train.py", line 2',
    ),
    "raises in a library": ("import json\njson.loads('{')", 1, "json.decoder.JSONDecodeError: Expecting property"),
    "exits": ("import sys\nsys.exit(3)", 3, "train.py ended with status 3"),
    "exits with a text": ("import sys\nsys.exit('some error')", 1, "train.py ended with status 1: some error"),
    "is killed": ("import os\nos.kill(os.getpid(), 9)", 137, "train.py was killed by SIGKILL (often: out of memory)"),
    "crashes": ("import ctypes\nctypes.string_at(0)", 139, "train.py was killed by SIGSEGV (a crash in native code)"),
    "does not compile": ("def (:", 1, 'SyntaxError: invalid syntax\n  in File "{code}/train.py", line 1\n'),
    "handles, trains, and exits": (
        "import sys, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\n"
        "for epoch in range(100): print('epoch', epoch)\nprint('ERROR: the validation loss is NaN')\nsys.exit(3)",
        3,
        "train.py ended with status 3: ERROR: the validation loss is NaN\n",
    ),
    "logs and exits": (
        "import sys, traceback\ntry: 1/0\nexcept Exception:\n    traceback.print_exc()\n    sys.exit(255)",
        255,
        'ZeroDivisionError: division by zero\n  in File "{code}/train.py", line 2, in <module>\ntrain.py ended with',
    ),
    "floods": (
        "import sys\nprint('x' * 10**6, file=sys.stderr)\nprint('o' * 10**6)\nraise ValueError('torn')",
        1,
        "ValueError: torn",
    ),
}


@pytest.mark.parametrize(("code", "status", "reason"), ENDS.values(), ids=ENDS)
def test_status_and_reason_of_a_failed_script(ml: MakeTree, code: str, status: int, reason: str) -> None:
    tree = ml(code={"train.py": code, "inference.py": ""})
    write_files(tree.paths.output, {"success": "of an older run"})
    done = tree.train()
    assert done.status == status
    assert not tree.paths.success.exists()
    assert done.reason.startswith(reason.format(code=tree.paths.code))
    assert not (tree.paths.model / "code").exists()


def test_failure_file_written_by_the_script_is_kept(ml: MakeTree) -> None:
    code = "import os, sys\nopen(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('I know better')\nsys.exit(255)"
    tree = ml(code={"train.py": code})
    done = tree.train()
    assert (done.status, done.failure) == (255, "I know better")
    assert f"failed: train.py ended with status 255; its own reason is in {tree.paths.failure}" in done.err


@pytest.mark.parametrize(
    "leaves",
    ["os.mkfifo(failure)", "os.symlink('/etc/passwd', failure)", "os.symlink('/dev/zero', failure)"],
)
def test_failure_path_that_is_no_file_is_replaced(ml: MakeTree, leaves: str) -> None:
    code = f"import os, sys\nfailure = os.environ['SM_OUTPUT_DIR'] + '/failure'\n{leaves}\nsys.exit(3)"
    done = ml(code={"train.py": code}).train()
    assert (done.status, done.failure) == (3, "train.py ended with status 3\n")


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_do_no_harm(ml: MakeTree, closed: str) -> None:
    code = "import sys\nfor i in range(20000): print('x' * 100); print('y' * 100, file=sys.stderr)"
    done = ml(code={"train.py": code}).train(before=("sh", "-c", f'exec "$@" {closed}', "sh"))
    assert (done.status, done.failure) == (0, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a=b": "1"}, "the hyperparameter 'a=b' has '=' or a NUL in its name"),
        ({"a\0b": "1"}, "the hyperparameter 'a\\x00b' has '=' or a NUL in its name"),
        ({"a": "x\0y"}, "the hyperparameter 'a' has a NUL: 'SM_HP_a=x"),
        ({"a": "\ud800"}, "the hyperparameter 'a' has what is no character: '\\ud800'"),
        ({"words": "x" * 200_000}, "the hyperparameter 'words' is too long: 200012 bytes, and no more than 131071"),
        ({"x" * 200_000: "1"}, f"the hyperparameter '{'x' * 100}...' is too long"),
    ],
    ids=["name with =", "name with NUL", "NUL", "surrogate", "long", "long name"],
)
def test_hyperparameter_that_cannot_be_an_argument_is_rejected(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    tree = make_tree(tmp_path, hyperparameters=given, code={"train.py": "print('trained')"})
    job = TrainingJob.read(tree.paths)
    with pytest.raises(JobError) as refused:
        script.commands(script.TrainingScript("train.py", str(tree.paths.code)), job)
    assert str(refused.value).startswith(f"{tree.paths.hyperparameters}: {said}")


@pytest.mark.skipif(not shutil.which("mpirun"), reason="mpirun is not installed")
def test_mpi_on_a_single_host_needs_no_name_resolution(ml: MakeTree) -> None:
    nameless = {"current_host": "no-such-name-1", "hosts": ["no-such-name-1"]}
    given = {"launcher": "mpi", "processes_per_host": "2"}
    done = ml(resources=nameless, hyperparameters=given, code={"train.py": "print('trained')"}).train()
    assert (done.status, done.out.count("trained")) == (0, 2), done.err


def test_longest_possible_hyperparameter_is_passed(ml: MakeTree) -> None:
    code = {"train.py": "import os, sys\nprint(len(sys.argv[2]), len(os.environ['SM_HP_WORDS']))"}
    done = ml(hyperparameters={"words": "x" * 60_000}, code=code).train()
    assert (done.status, done.out) == (0, "60000 60000\n"), done.err


@pytest.mark.parametrize("program", ["train.py", "train.sh"])
def test_variables_longer_than_linux_allows_are_left_out(ml: MakeTree, program: str) -> None:
    """100 of 2,500 characters are within SageMaker's limits, and more than SM_HPS can hold."""
    show = "import os, sys\nhps = [value for name, value in os.environ.items() if name.startswith('SM_HP_')]\n"
    show += "print(len(sys.argv), len(hps), sum(map(len, hps)), 'SM_HPS' in os.environ, 'SM_HOSTS' in os.environ)"
    code = {"train.py": show, "train.sh": f'#!/bin/sh\nexec {sys.executable} train.py "$@"\n'}
    done = ml(hyperparameters={f"k{number}": "x" * 2500 for number in range(100)}, code=code).train(
        SAGEMAKER_PROGRAM=program
    )
    assert (done.status, done.out) == (0, "201 100 250000 False True\n"), done.err[-3000:]
    assert "no variable may have more than 131071 bytes: SM_HPS (250898 bytes), SM_USER_ARGS (" in done.err


# What pip installs goes into a folder of the test's own, and comes from nowhere else: a package that brings
# even what builds it.
OFFLINE = {"PIP_NO_INDEX": "1"}
TINY = {
    "setup.py": "",
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    "backend.py": """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.write("tiny.py")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return "tiny-1-py3-none-any.whl"
""",
}


def test_requirements_are_installed_before_the_script_runs(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "import tiny\nprint('got', tiny.VALUE)", "requirements.txt": "./packages/tiny\n"})
    write_files(tree.paths.code / "packages/tiny", {**TINY, "tiny.py": "VALUE = 42\n"})
    target = str(tree.root / "installed")
    done = tree.train(**OFFLINE, PIP_TARGET=target, PYTHONPATH=target)
    assert done.status == 0, done.err
    assert done.out.endswith("got 42\n")


def test_package_is_installed_and_run_as_a_module(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"sagemaker_program": "tiny.py", "k": "1"}, code={**TINY, "tiny.py": SHOW})
    target = tree.root / "installed"
    done = tree.train(**OFFLINE, PIP_TARGET=str(target), PYTHONPATH=str(target))
    assert done.status == 0, done.err
    assert (target / "tiny.py").is_file()
    assert seen(tree)["argv"][1:] == ["-k", "1"]


def test_failed_pip_install_ends_the_job_with_its_error(ml: MakeTree) -> None:
    tree = ml(code={"train.py": SHOW, "requirements.txt": "there-is-no-such-package==1\n"})
    done = tree.train(**OFFLINE)
    assert done.status == 1
    assert done.reason.startswith(
        f"pip install -r requirements.txt in {tree.paths.code} ended with status 1: "
        "ERROR: No matching distribution found for there-is-no-such-package==1"
    )
    assert not (tree.paths.model / "seen.json").exists()


# Where the code comes from.


def archive(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("address", ["{}", "file://{}", "file://localhost{}"])
@pytest.mark.parametrize("kind", ["folder", "tar.gz", "tar", "file"])
def test_code_is_fetched_from_path_or_file_url(ml: MakeTree, tmp_path: Path, kind: str, address: str) -> None:
    tree, home = ml(), tmp_path / "my code"
    write_files(home / "folder", {"train.py": SHOW, "sub/x.py": ""})
    source = {
        "folder": home / "folder",
        "file": home / "folder/train.py",
        "tar.gz": archive(home / "sourcedir.tar.gz", {"train.py": SHOW, "sub/x.py": ""}),
        "tar": archive(home / "sourcedir", {"train.py": SHOW, "sub/x.py": ""}, "w"),
    }[kind]
    fetch(address.format(str(source).replace(" ", "%20") if ":" in address else source), tree.paths.code)
    assert (tree.paths.code / "train.py").read_text() == SHOW
    assert (tree.paths.code / "sub/x.py").exists() == (kind != "file")


def test_code_from_an_archive_is_run(ml: MakeTree, tmp_path: Path) -> None:
    source = archive(tmp_path / "sourcedir.tar.gz", {"my.py": SHOW})
    given = {"sagemaker_program": '"my.py"', "sagemaker_submit_directory": json.dumps(str(source))}
    tree = ml(hyperparameters=given)
    done = tree.train()
    assert done.status == 0, done.err
    assert seen(tree)["argv"] == ["my.py"]
    assert seen(tree)["env"]["SM_MODULE_DIR"] == str(source)


def test_code_that_is_already_there_is_not_fetched_again(ml: MakeTree) -> None:
    given = {"sagemaker_program": "my.py", "sagemaker_submit_directory": '"s3://bucket/sourcedir.tar.gz"'}
    assert ml(hyperparameters=given, code={"my.py": SHOW}).train().status == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("https://host/sourcedir.tar.gz", "code comes from a path or from an address such as s3://bucket/job/"),
        ("file://opt/ml/x", "such as s3://bucket/job/sourcedir.tar.gz or file:///opt/ml/input"),
        ("/nowhere/at/all", "is '/nowhere/at/all', where there is neither a folder nor a file"),
    ],
)
def test_invalid_code_source_is_rejected(ml: MakeTree, source: str, said: str) -> None:
    tree = ml(hyperparameters={"sagemaker_program": "my.py", "sagemaker_submit_directory": source})
    done = tree.train()
    assert done.status == 1
    assert said in done.reason


def test_broken_links_are_left_out_of_the_copy(ml: MakeTree, tmp_path: Path) -> None:
    """Emacs keeps one beside a file that is open and changed."""
    write_files(tmp_path / "mine", {"my.py": "print('trained')", "sub/more.py": ""})
    lock = tmp_path / "mine/sub/.#more.py"
    lock.symlink_to("somebody@somewhere.4711:1700000000")
    given = {"sagemaker_program": "my.py", "sagemaker_submit_directory": str(tmp_path / "mine")}
    done = ml(hyperparameters=given).train()
    assert (done.status, done.out) == (0, "trained\n"), done.err
    assert f"{lock} is a link to somebody@somewhere.4711:1700000000, where there is nothing: left out" in done.err


def test_files_that_cannot_be_copied_are_named(tmp_path: Path) -> None:
    write_files(tmp_path / "mine", {"my.py": "", "sub/more.py": ""})
    for number in range(5):
        os.mkfifo(tmp_path / f"mine/sub/fifo-{number}")
    with pytest.raises(JobError) as refused:
        fetch(str(tmp_path / "mine"), tmp_path / "code")
    assert str(refused.value).startswith(f"{tmp_path}/mine cannot be copied to {tmp_path}/code: ")
    assert "sub/fifo-" in str(refused.value)
    assert str(refused.value).endswith(" is a named pipe; and 2 more")
    assert list((tmp_path / "code").iterdir()) == []


def test_source_that_contains_the_target_is_rejected(ml: MakeTree) -> None:
    paths: Paths = ml().paths
    with pytest.raises(JobError, match=r"which holds .*/code, the place for its copy"):
        fetch(str(paths.root), paths.code)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


HOSTILE = {
    "climbing": [member("../escaped")],
    "climbing from within": [member("sub/../../escaped")],
    "absolute": [member("{outside}/escaped")],
    "a symbolic link out": [member("link", tarfile.SYMTYPE, "{outside}"), member("link/escaped")],
    "a symbolic link within": [member("link", tarfile.SYMTYPE, "sub")],
    "a hard link": [member("link", tarfile.LNKTYPE, "/etc/passwd")],
    "a device": [member("null", tarfile.CHRTYPE)],
    "a fifo": [member("fifo", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_is_rejected_and_leaves_nothing(
    ml: MakeTree, tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "sourcedir.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member("train.py"))
        for each in members:
            tar.addfile(
                each.replace(name=each.name.format(outside=outside), linkname=each.linkname.format(outside=outside))
            )
    tree = ml(hyperparameters={"sagemaker_program": "train.py", "sagemaker_submit_directory": str(path)})
    done = tree.train()
    assert done.status == 1
    assert done.reason.startswith(f"{path}: ")
    assert list(tree.paths.code.iterdir()) == []
    assert list(outside.iterdir()) == []
    assert not list(tmp_path.rglob("escaped"))


def test_file_modes_of_an_archive_are_restricted(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(member("run.sh").replace(mode=0o4777, uid=1234))
    (tmp_path / "code").mkdir()
    unpack(path, tmp_path / "code")
    found = (tmp_path / "code/run.sh").stat()
    assert found.st_mode & 0o7777 == 0o755
    assert found.st_uid == os.getuid()


@pytest.mark.parametrize("damage", ["cut off", "cut to nothing", "changed", "no archive"])
def test_damaged_archive_is_rejected_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    content = archive(tmp_path / "whole.tar.gz", {"train.py": SHOW, "data": os.urandom(99_999).hex()}).read_bytes()
    path, code = tmp_path / "sourcedir.tar.gz", tmp_path / "code"
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut off": content[:middle],
            "cut to nothing": b"",
            "changed": content[:middle] + bytes(1000) + content[middle + 1000 :],
            "no archive": b"print('hello')\n",
        }[damage]
    )
    with pytest.raises(JobError, match=r"sourcedir\.tar\.gz cannot be unpacked: .*; it may be damaged or cut off"):
        fetch(str(path), code)
    assert list(code.iterdir()) == []


def test_full_disk_leaves_no_partial_code(ml: MakeTree, tmp_path: Path, mount: Callable[..., None]) -> None:
    tree = ml(code={})
    mount(tree.paths.code, "size=64k")
    write_files(tmp_path / "source", {"a.py": SHOW, "b.py": "x" * 200_000})
    with pytest.raises(JobError, match=r"^the disk is full: .*No space left.*b\.py.*; free some space or ask"):
        fetch(str(tmp_path / "source"), tree.paths.code)
    assert list(tree.paths.code.iterdir()) == []


def test_script_runs_with_our_interpreter(ml: MakeTree) -> None:
    done = ml(code={"train.py": "import sys\nprint(sys.executable)"}).train()
    assert Path(done.out.strip()).parent == Path(sys.executable).parent  # python or python3
