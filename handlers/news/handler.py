"""The handler: what `train` and `serve` call. Imports nothing heavy until it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from container.job import TrainingJob
from handlers.news import answers, settings

if TYPE_CHECKING:
    from handlers.news.model import Model


class NewsClassifier:
    """Headlines → Business, Science & Technology, Entertainment, or Health & Medicine."""

    Hyperparameters = settings.Hyperparameters

    def train(self, job: TrainingJob[settings.Hyperparameters]) -> None:
        """Trains on newsCorpora.csv in the channel `training`; see training.run."""
        from handlers.news import training

        training.run(job)

    def load(self, model_dir: Path) -> Model:
        """The model that `train` left. Raises JobError where it is missing or damaged."""
        from handlers.news.model import Model

        return Model(model_dir)

    def predict(self, model: Model, inputs: list[Any]) -> list[Any]:
        """One output for each input, as answers.py tells; all headlines go through one call of TensorFlow."""
        return answers.answer(inputs, model.classify)
