"""Every place under /opt/ml that the contract names.

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
    """The tree that the platform mounts, below `root` (`/opt/ml`, moved by SAGEMAKER_BASE_DIR)."""

    root: Path = DEFAULT_ROOT

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """The tree below SAGEMAKER_BASE_DIR, made absolute so that a change of directory is safe."""
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
        """Channels: a folder (or, in Pipe mode, a FIFO for each epoch) by the channel's name."""
        return self.input / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def models(self) -> Path:
        """Many models, of an endpoint that serves them in one container."""
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
        """Ours: the metrics of the job, see container/metrics.py."""
        return self.output_data / "metrics.csv"

    @property
    def summary(self) -> Path:
        """Ours: what training code wants to have said at the top of the report, a JSON object of names and values."""
        return self.output_data / "summary.json"

    @property
    def report(self) -> Path:
        """Ours: what a person opens after training."""
        return self.output_data / "report.html"

    @property
    def output_intermediate(self) -> Path:
        return self.output / "intermediate"

    @property
    def tensorboard(self) -> Path:
        return self.output / "tensorboard"

    @property
    def failure(self) -> Path:
        """The reason why a job failed; its first 1,024 characters become FailureReason."""
        return self.output / "failure"

    @property
    def success(self) -> Path:
        """An empty file, as sagemaker-training-toolkit leaves it when all went well; no page of AWS asks for it."""
        return self.output / "success"
