"""Fixtures and settings for all tests."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from byo_container.container.log import JsonFormatter, TextFormatter, log
from tests.support.tree import Tree, make_tree

OURS = (JsonFormatter, TextFormatter)

# Cores are shared, and a slow moment is no fault.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """pytest-xdist sends what a test has written to another process as UTF-8, which half surrogates are not."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_bytecode_by_processes() -> None:
    """A test may write another module in the same second, which Python would take for the one that it has compiled."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """Some tests run code that configures logging for its whole process, which here is that of other tests too."""
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    yield
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler.formatter, OURS)]
    log.handlers[:], log.propagate, log.level = handlers, propagate, level


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own, with a short name: the path of a Unix socket may have 107 characters."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def ml(tmp_path: Path) -> Callable[..., Tree]:
    """Makes the /opt/ml tree of this test; see make_tree for what it takes."""

    def make(**content: Any) -> Tree:
        return make_tree(tmp_path / "ml", **content)

    return make


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Mounts `mount(folder, "size=64k")`, a tmpfs with options, until the test ends."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    mounted: list[Path] = []

    def mount_tmpfs(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount_tmpfs
    for folder in reversed(mounted):
        # Lazily: what a killed server has left there may be open for a moment more.
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607
