"""The files and folders under /opt/ml that the contract names.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/opt/ml")


@dataclass(frozen=True)
class Paths:
    """The tree that the platform mounts at `root` (`/opt/ml`, or SAGEMAKER_BASE_DIR)."""

    root: Path = DEFAULT_ROOT

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """The tree below SAGEMAKER_BASE_DIR, as an absolute path so that a change of directory does no harm."""
        return cls(Path(os.path.abspath(environ.get("SAGEMAKER_BASE_DIR") or DEFAULT_ROOT)))

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def config(self) -> Path:
        return self.input / "config"

    @property
    def hyperparameters(self) -> Path:
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        return self.config / "resourceconfig.json"

    @property
    def data(self) -> Path:
        """The channels: a folder for each (or, in Pipe mode, a FIFO for each epoch), by the channel's name."""
        return self.input / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def models(self) -> Path:
        """The models of a multi-model endpoint."""
        return self.root / "models"

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        return self.output / "data"

    @property
    def metrics(self) -> Path:
        """Our own file: the metrics of the job, see container/metrics.py."""
        return self.output_data / "metrics.csv"

    @property
    def summary(self) -> Path:
        """Our own file, written by training code: a JSON object of names and values for the top of the report."""
        return self.output_data / "summary.json"

    @property
    def report(self) -> Path:
        """Our own file: the report for people."""
        return self.output_data / "report.html"

    @property
    def output_intermediate(self) -> Path:
        return self.output / "intermediate"

    @property
    def tensorboard(self) -> Path:
        return self.output / "tensorboard"

    @property
    def failure(self) -> Path:
        """The failure report; its first 1,024 characters become FailureReason."""
        return self.output / "failure"

    @property
    def success(self) -> Path:
        """An empty file that sagemaker-training-toolkit writes after success. AWS does not document it."""
        return self.output / "success"
