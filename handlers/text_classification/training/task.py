"""What a rank trains with: data, tokenizer, model and precision, all checked before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.hardware import this_hardware
from byo_container.container.job import TrainingJob
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification import pretrained
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.preprocessing import splits
from byo_container.handlers.text_classification.preprocessing.tokenizing import tokenize
from byo_container.handlers.text_classification.training import identity, lora, precision
from byo_container.handlers.text_classification.training.precision import Precision

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Task:
    """Data sets have the columns input_ids, labels and length."""

    job: TrainingJob[Hyperparameters]
    rank: Rank
    labels: tuple[str, ...]
    train: Dataset
    validation: Dataset
    test: Dataset | None
    tokenizer: Any
    model: Any
    max_length: int
    """Tokens of a text, at most."""
    precision: Precision
    has_gpu: bool
    texts: dict[str, Any]
    """The same rows as `validation` and `test` before they were tokenised, by these names."""
    run: dict[str, Any]
    """Identifies the training; see identity.py."""

    @property
    def chosen(self) -> Hyperparameters:
        return self.job.hyperparameters


def prepare(job: TrainingJob[Hyperparameters], rank: Rank, has_gpu: bool, scratch: Path) -> Task:
    """Reads the channels and the pretrained model; `scratch` is a folder for this time. Raises
    JobError for what is wrong with either."""
    import transformers

    chosen = job.hyperparameters
    chosen_precision = precision.choose(chosen.fp16, chosen.bf16, this_hardware())
    source = pretrained.find(job, scratch)
    quiet = not rank.is_first
    data = splits.read(job.channels, chosen.seed, quiet)
    transformers.set_seed(chosen.seed)  # also the new head's
    loaded = pretrained.load(source, data.labels, chosen)
    given = {"train": data.train, "validation": data.validation}
    if data.test is not None:
        given["test"] = data.test
    tokenised = {name: tokenize(part, loaded.tokenizer, loaded.max_length, name, quiet) for name, part in given.items()}
    fingerprint = identity.of_data(tokenised["train"], tokenised["validation"])
    model = lora.adapt(loaded.model, chosen)
    run = identity.identify(chosen, data.labels, fingerprint, model, rank)
    return Task(
        job=job,
        rank=rank,
        labels=data.labels,
        train=tokenised["train"],
        validation=tokenised["validation"],
        test=tokenised.get("test"),
        tokenizer=loaded.tokenizer,
        model=model,
        max_length=loaded.max_length,
        precision=chosen_precision,
        has_gpu=has_gpu,
        texts={name: part for name, part in given.items() if name != "train"},
        run=run,
    )
