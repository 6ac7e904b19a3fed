"""The handler that `train` and `serve` call. It imports TensorFlow only inside its methods."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.handler import Handler
from byo_container.container.job import TrainingJob
from byo_container.handlers.news import hyperparameters, requests

if TYPE_CHECKING:
    from byo_container.handlers.news.predictor import Predictor


class NewsClassifier(Handler):
    """Headlines → Business, Science & Technology, Entertainment, or Health & Medicine."""

    Hyperparameters = hyperparameters.Hyperparameters
    csv_squeeze = True

    def train(self, job: TrainingJob[hyperparameters.Hyperparameters]) -> None:
        """Trains on newsCorpora.csv in the channel `training`; see training/job.py."""
        choose_framework()
        from byo_container.handlers.news.training.job import run

        run(job)

    def load(self, model_dir: Path) -> Predictor:
        """The model that `train` saved. Raises JobError where it is missing or damaged."""
        choose_framework()
        from byo_container.handlers.news.predictor import Predictor

        return Predictor(model_dir)

    def predict(self, model: Predictor, inputs: list[Any]) -> list[Any]:
        """One output for each input, see requests.py; all headlines go through one call of TensorFlow."""
        return requests.respond(inputs, model.classify)


def choose_framework() -> None:
    """Call this before the first import. Keras then uses TensorFlow, whatever its config file says, and TensorFlow logs
    no start-up messages. JobError where a package of the extra is not installed."""
    for name in ("numpy", "keras", "tensorflow"):
        if not is_installed(name):
            raise JobError(
                f"the handler `news` needs the package {name}, which is not installed; install its extra: "
                "`pip install 'byo-container[news]'`"
            )
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None
