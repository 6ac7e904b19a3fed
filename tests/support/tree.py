"""An /opt/ml tree in a folder of a test's own, and the real command `train` run on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import REASON_LENGTH
from byo_container.container.paths import Paths
from byo_container.container.process.tree import descendants

TRAIN = Path(sys.executable).with_name("train")
OURS = ("SM_", "SAGEMAKER_", "TRAINING_", "MODEL_HANDLER", "PYTHONPATH", "LOG_FORMAT")

ONE_HOST = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}


@dataclass(frozen=True)
class Finished:
    """How a run of `train` went. `failure` is None where there is no failure file."""

    status: int
    out: str
    err: str
    failure: str | None

    @property
    def reason(self) -> str:
        """What the platform would show as FailureReason."""
        assert self.failure is not None, f"no failure file; stderr is\n{self.err}"
        return self.failure[:REASON_LENGTH]


@dataclass(frozen=True)
class Tree:
    """An /opt/ml of a test's own."""

    root: Path

    @property
    def paths(self) -> Paths:
        return Paths(self.root)

    @property
    def failure(self) -> str | None:
        path = self.paths.failure
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def start(self, *arguments: str, before: Sequence[str] = (), **environ: str) -> subprocess.Popen[str]:
        """`train`, running, in a process group of its own. `before` goes in front of the command line."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.Popen(
            [*before, str(TRAIN), *arguments],
            env={**inherited, "SAGEMAKER_BASE_DIR": str(self.root), **environ},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], timeout_s: float = 60) -> Finished:
        """What became of a run, which is killed with all that it has started where it takes too long."""
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            for pid in [process.pid, *descendants(process.pid)]:  # listed before the first is killed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"train did not end in {timeout_s} s\n{out}\n{err}") from None
        return Finished(process.returncode, out, err, self.failure)

    def train(self, *arguments: str, before: Sequence[str] = (), **environ: str) -> Finished:
        """`train`, from beginning to end."""
        return self.finish(self.start(*arguments, before=before, **environ))


def make_tree(
    root: Path,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    channels: Mapping[str, Mapping[str, str]] | None = None,
    resources: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    code: Mapping[str, str] | None = None,
) -> Tree:
    """The tree as the platform leaves it: config files, a folder of files for each channel, and the code.

    Channels are in File mode unless `inputs`, the whole inputdataconfig.json, says something else.
    """
    paths = Paths(root)
    channels = channels or {}
    _write_json(paths.hyperparameters, hyperparameters or {})
    in_file_mode = {name: {"TrainingInputMode": "File"} for name in channels}
    _write_json(paths.input_data_config, {**in_file_mode, **(inputs or {})})
    _write_json(paths.resource_config, ONE_HOST if resources is None else resources)
    for name, files in channels.items():
        (paths.data / name).mkdir(parents=True)
        write_files(paths.data / name, files)
    write_files(paths.code, code or {})
    return Tree(root)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
