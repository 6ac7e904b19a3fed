"""Hugging Face's Trainer by itself, in a script.

STEP_CLOCK=FILE SAGEMAKER_BASE_DIR=FOLDER python -m benchmarks.peers.bare_trainer same|padded

`same` has all that a job of `train` has, from the same files: data, tokens, model, arguments, collator and order of the
rows; it lacks the handler's callbacks, checkpoints, evaluation and log. `padded` is the way of SageMaker's sample:
every row is padded to the longest that the model takes, and rows come in random order. Its mixed precision is the job's
too: the sample's fp16 is for GPUs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import Trainer, TrainingArguments

from benchmarks import step_clock
from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.preprocessing.padding import PadToBucket
from byo_container.handlers.text_classification.training import task
from byo_container.handlers.text_classification.training.arguments import LENGTH, training_arguments
from byo_container.handlers.text_classification.training.trainer import EpochSampler


class SameOrder(Trainer):  # type: ignore[misc]  # transformers is not checked
    """Batches are those of the job, so that no side has longer ones."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return EpochSampler(self.args.train_batch_size, lengths=self.train_dataset[LENGTH][:], seed=self.args.seed)


def same(job: task.Task, folder: Path) -> Trainer:
    arguments = training_arguments(job.chosen, job.precision, folder, job.has_gpu)
    return SameOrder(
        model=job.model,
        args=TrainingArguments(**{**arguments, "eval_strategy": "no", "save_strategy": "no"}),
        data_collator=PadToBucket(job.tokenizer.pad_token_id, job.max_length),
        train_dataset=job.train,
    )


def padded(job: task.Task, folder: Path) -> Trainer:
    def pad(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return dict(
            job.tokenizer.pad({"input_ids": rows["input_ids"]}, padding="max_length", max_length=job.max_length)
        )

    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=job.chosen.max_steps or -1,
        per_device_train_batch_size=job.chosen.train_batch_size,
        learning_rate=job.chosen.learning_rate,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=job.precision.name == "bf16",
        use_cpu=not job.has_gpu,
    )
    return Trainer(model=job.model, args=arguments, train_dataset=job.train.map(pad, batched=True))


def main() -> None:
    step_clock.start()
    with TemporaryDirectory() as folder:
        job = TrainingJob.read(Paths.from_environment()).declare(Hyperparameters)
        prepared = task.prepare(job, Rank.from_environment(), has_gpu=False, scratch=Path(folder))
        {"same": same, "padded": padded}[sys.argv[1]](prepared, Path(folder)).train()


if __name__ == "__main__":
    main()
