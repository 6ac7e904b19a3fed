"""The command line of `byo-container`, `train` and `serve`: help, and what is wrong with the arguments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest


def byo_container(*arguments: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "byo_container", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_commands(option: str) -> None:
    done = byo_container(option)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("byo-container train", "byo-container serve", "byo-container check"):
        assert command in done.stdout


def test_unknown_command_is_refused() -> None:
    done = byo_container("trian")
    assert done.returncode == 1
    assert done.stderr == (
        "byo-container: there is no command 'trian'; did you mean 'train'? known are: check, serve, train; "
        "see byo-container --help\n"
    )


def test_serve_refuses_arguments() -> None:
    done = byo_container("serve", "--port", "80 80")
    assert (done.returncode, done.stdout) == (2, "")
    assert "serve takes no arguments, and was given --port '80 80'; see serve --help" in done.stderr


def test_train_starts_with_the_standard_library_alone() -> None:
    """On a base image of somebody's own there may be no other package."""
    program = "import byo_container.cli, byo_container.training.main, byo_container.training.processes.rank"
    environ = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
