"""The four verbs of a handler: what trains, and what serves. fairseq is imported only inside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.job import TrainingJob
from byo_container.handlers.translation import requests

if TYPE_CHECKING:
    from byo_container.handlers.translation.predictor import Translator


class Translation:
    """Sentences of one language to sentences of another, by any translation architecture of fairseq's."""

    # What one call of `predict` may have, so that a large request lets small ones pass between its calls.
    batch_size = 64
    batch_cost = 6_000
    csv_squeeze = True

    def train(self, job: TrainingJob[Any]) -> None:
        """Trains one rank; see training/job.py."""
        from byo_container.handlers.translation.training import job as training

        training.run(job)

    def load(self, model_dir: Path) -> Translator:
        """The model that `train` left, or that fairseq itself made; see bundle.py. Raises JobError where a part of it
        is missing, damaged, or not to be trusted."""
        from byo_container.handlers.translation.predictor import Translator

        return Translator(model_dir)

    def predict(self, model: Translator, inputs: list[Any]) -> list[Any]:
        """One output for each input, as request.py tells; the sentences of all are searched in batches."""
        return requests.answer(inputs, model.translate, model.defaults)

    def cost(self, value: Any) -> float:
        """Characters, times the width of the beam where that is not the usual one."""
        return requests.cost(value)

    def split(self, value: Any) -> list[Any] | None:
        """The lines of an input that holds several, each an input by itself."""
        return requests.split(value)

    def join(self, value: Any, outputs: list[Any]) -> Any:
        """The output for such an input."""
        return requests.join(value, outputs)
