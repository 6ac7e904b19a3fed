"""Our commands `train` and `serve`, where another package has some of these names: with real pip, and no network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from byo_container.container.source import console_scripts, pip
from tests.support.tree import make_tree

SCRIPTS = Path(sys.executable).parent
ROOT = Path(__file__).parents[3]


def wheel(folder: Path, name: str, version: str = "1.0", scripts: tuple[str, ...] = ()) -> Path:
    """A package that has commands of its own."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "def main(): print('theirs')\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        lines = "".join(f"{script} = {name}:main\n" for script in scripts)
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{lines}")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an environment of the test's own, with our commands, that borrows all packages."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (site / "borrowed.pth").write_text("\n".join([str(ROOT), *(path for path in sys.path if "packages" in path)]))
    for name in console_scripts.NAMES:
        text = (SCRIPTS / name).read_text().replace(str(SCRIPTS / "python"), str(python))
        (python.parent / name).write_text(text)
        (python.parent / name).chmod(0o755)
    return python


def run(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PATH": f"{python.parent}:/usr/bin:/bin"}
    return subprocess.run(
        [python, "-P", "-m", "byo_container.container.source.console_scripts", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_replaced_console_scripts_are_restored(python: Path, tmp_path: Path) -> None:
    before = {name: (python.parent / name).read_text() for name in console_scripts.NAMES}
    theirs = wheel(tmp_path, "sagemaker_other", scripts=("train", "serve", "other"))
    pip_install = (str(python), "-m", "pip", "install", "--no-deps", str(theirs))
    assert subprocess.run(pip_install, env={**os.environ, "PIP_NO_INDEX": "1"}).returncode == 0
    assert "sagemaker_other" in (python.parent / "serve").read_text(), "else this shows nothing"
    for name, text in before.items():
        (python.parent / name).write_text(text)
    done = run(python, *pip_install, "--force-reinstall")
    assert done.returncode == 0, done.stderr
    assert {name: (python.parent / name).read_text() for name in console_scripts.NAMES} == before
    assert "sagemaker_other" in (python.parent / "other").read_text()
    (warning,) = [line for line in done.stderr.splitlines() if "WARNING" in line and "in place of ours" in line]
    assert warning.endswith(f"{python.parent / 'train'}, {python.parent / 'serve'}")


def test_unrelated_package_causes_no_warning(python: Path, tmp_path: Path) -> None:
    done = run(python, str(python), "-m", "pip", "install", str(wheel(tmp_path, "harmless")))
    assert done.returncode == 0, done.stderr
    assert "WARNING [" not in done.stderr


def test_requirement_outside_its_range_is_warned_about(python: Path, tmp_path: Path) -> None:
    done = run(python, str(python), "-m", "pip", "install", "--no-deps", str(wheel(tmp_path, "wsproto", "0.1")))
    assert done.returncode == 0, done.stderr
    assert f"byo-container was tested with wsproto {version('wsproto')}, which is 0.1 now" in done.stderr


def test_requirement_inside_its_range_may_change(python: Path, tmp_path: Path) -> None:
    done = run(python, str(python), "-m", "pip", "install", "--no-deps", str(wheel(tmp_path, "wsproto", "1.99")))
    assert done.returncode == 0, done.stderr
    assert "byo-container was tested with" not in done.stderr


def test_exit_status_of_the_program_is_kept(python: Path) -> None:
    assert run(python, str(python), "-c", "import sys; sys.exit(3)").returncode == 3
    assert run(python, str(python), "-c", "import os; os.kill(os.getpid(), 15)").returncode == 143


def test_pip_is_run_by_console_scripts(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    command = pip.install(tmp_path)
    assert command is not None
    assert command.argv[:4] == [sys.executable, "-P", "-m", "byo_container.container.source.console_scripts"]


def byo_container(python: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python.parent / "byo-container", *words],
        env={**os.environ, "PATH": f"{python.parent}:/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_check_finds_a_foreign_train_command(python: Path, tmp_path: Path) -> None:
    done = byo_container(python, "check")
    assert (done.returncode, done.stdout) == (0, "byo-container: the commands train and serve are no other package's\n")
    theirs = str(wheel(tmp_path, "sagemaker_other", scripts=("train",)))
    pip_install = [str(python), "-m", "pip", "install", "--no-deps", theirs]
    assert subprocess.run(pip_install, env={**os.environ, "PIP_NO_INDEX": "1"}).returncode == 0
    done = byo_container(python, "check")
    assert done.returncode == 1
    assert f"the command train ({python.parent / 'train'}) belongs to another package, for it runs sagemaker_other" in (
        done.stderr
    )
    tree = make_tree(tmp_path / "ml", code={"train.py": "print('ours runs')"})
    for words in (["train"], []):  # without a word: what is mounted is a job
        done = byo_container(python, *words, SAGEMAKER_BASE_DIR=str(tree.root))
        assert (done.returncode, done.stdout) == (0, "ours runs\n"), done.stderr
        (warning,) = [line for line in done.stderr.splitlines() if "WARNING" in line]
        assert "belongs to another package" in warning
    (python.parent / "train").write_text("#!/usr/bin/env python3\nfrom mine import main\n")
    assert byo_container(python, "check").returncode == 0, "a user's own program"


@pytest.mark.parametrize("word", ["train", "serve"])
def test_byo_container_command_runs_our_train_and_serve(python: Path, tmp_path: Path, word: str) -> None:
    (python.parent / word).write_text("#!/bin/sh\necho theirs\n")
    done = subprocess.run(
        [python.parent / "byo-container", word, "--help"],
        env={**os.environ, "PATH": f"{python.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"`{word}`" in done.stdout
