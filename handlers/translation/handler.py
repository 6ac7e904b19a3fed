"""The handler that `train` and `serve` call. It imports fairseq only inside its methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.handler import Handler
from byo_container.container.job import TrainingJob
from byo_container.handlers.translation import requests

if TYPE_CHECKING:
    from byo_container.handlers.translation.predictor import Translator


class Translation(Handler):
    """Translates sentences from one language to another, by any translation architecture of fairseq."""

    # Limits of one call of `predict`, so that small requests can pass between the calls of a large one.
    batch_size = 64
    batch_cost = 6_000
    csv_squeeze = True

    def train(self, job: TrainingJob[Any]) -> None:
        """Trains one rank; see training/job.py."""
        from byo_container.handlers.translation.training.job import run

        run(job)

    def load(self, model_dir: Path) -> Translator:
        """The model that `train` or fairseq itself saved, see artifact.py. Raises JobError where a part of it is
        missing, damaged, or not to be trusted."""
        from byo_container.handlers.translation.predictor import Translator

        return Translator(model_dir)

    def predict(self, model: Translator, inputs: list[Any]) -> list[Any]:
        """One output for each input, see requests.py; the sentences of all inputs are translated in batches."""
        return requests.respond(inputs, model.translate, model.defaults)

    def cost(self, input: Any) -> float:  # noqa: A002
        """Characters, scaled by the beam width where a request sets it."""
        return requests.cost(input)

    def split(self, input: Any) -> list[Any] | None:  # noqa: A002
        """The lines of an input with several, each as an input."""
        return requests.split(input)

    def join(self, input: Any, outputs: list[Any]) -> Any:  # noqa: A002
        """The output for an input from the outputs of its lines."""
        return requests.join(input, outputs)
