"""The handler: what `train` and `serve` call. Imports nothing heavy until it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.job import TrainingJob
from byo_container.handlers.news import hyperparameters, requests

if TYPE_CHECKING:
    from byo_container.handlers.news.predictor import Model


class NewsClassifier:
    """Headlines → Business, Science & Technology, Entertainment, or Health & Medicine."""

    Hyperparameters = hyperparameters.Hyperparameters
    csv_squeeze = True

    def train(self, job: TrainingJob[hyperparameters.Hyperparameters]) -> None:
        """Trains on newsCorpora.csv in the channel `training`; see training.run."""
        choose_framework()
        from byo_container.handlers.news.training import job as training

        training.run(job)

    def load(self, model_dir: Path) -> Model:
        """The model that `train` left. Raises JobError where it is missing or damaged."""
        choose_framework()
        from byo_container.handlers.news.predictor import Model

        return Model(model_dir)

    def predict(self, model: Model, inputs: list[Any]) -> list[Any]:
        """One output for each input, as answers.py tells; all headlines go through one call of TensorFlow."""
        return requests.answer(inputs, model.classify)


def choose_framework() -> None:
    """Before the first import: Keras on TensorFlow, whatever its own config file says, and TensorFlow without its
    remarks on every start."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
