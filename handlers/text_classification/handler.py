"""The handler that `train` and `serve` call. It imports PyTorch and Transformers only inside its methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.handler import Handler
from byo_container.container.job import TrainingJob
from byo_container.handlers.text_classification import hyperparameters, requests

if TYPE_CHECKING:
    from byo_container.handlers.text_classification.predictor import Predictor


class TextClassification(Handler):
    """Classifies texts by a fine-tuned encoder: BERT, RoBERTa, ALBERT, DistilBERT, ModernBERT."""

    Hyperparameters = hyperparameters.Hyperparameters
    # Limits of one call of `predict`, so that small requests can pass between the calls of a large one.
    batch_size = 32
    batch_cost = 20_000
    csv_squeeze = True

    def train(self, job: TrainingJob[hyperparameters.Hyperparameters]) -> None:
        """Fine-tunes one rank; see training/job.py."""
        from byo_container.handlers.text_classification.training.job import run

        run(job)

    def load(self, model_dir: Path) -> Predictor:
        """The model that `train`, or `save_pretrained`, saved. Raises JobError where it is missing or damaged."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # there is a worker for each core
        from byo_container.handlers.text_classification.predictor import Predictor

        return Predictor(model_dir)

    def predict(self, model: Predictor, inputs: list[Any]) -> list[Any]:
        """One output for each input, see requests.py; the texts of all inputs are classified in batches by length."""
        return requests.respond(inputs, model.classify)

    def cost(self, input: Any) -> float:  # noqa: A002
        """The characters of a text."""
        return requests.cost(input)

    def split(self, input: Any) -> list[Any] | None:  # noqa: A002
        """The texts of an input with several, each as an input."""
        return requests.split(input)

    def join(self, input: Any, outputs: list[Any]) -> Any:  # noqa: A002
        """The output for an input from the outputs of its texts."""
        return requests.join(input, outputs)
