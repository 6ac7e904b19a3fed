"""Hugging Face's Trainer, with checkpoints that are complete or none, and batches that follow from seed and epoch."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import disk_errors_explained
from byo_container.container.log import log
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification import artifact
from byo_container.handlers.text_classification.training import checkpoints
from byo_container.handlers.text_classification.training.arguments import LENGTH
from byo_container.handlers.text_classification.training.compilation.compiler import Compiler

KEEP = 2
"""The newest checkpoints that are kept; and the best one."""
STATE = "trainer_state.json"


class FineTuner(Trainer):  # type: ignore[misc]  # transformers is not checked
    """`run` says which job the checkpoints belong to; see checkpoints.py. Each pass goes through the compiler."""

    def __init__(self, rank: Rank, run: dict[str, Any], compiler: Compiler, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)  # its lines would come twice, see metric_log.py
        self._rank, self._run, self._compiler = rank, run, compiler
        # The classifiers take the number of rows in all batches of a step, and ignore it: their loss is the mean of a
        # batch. Trainer, who trusts them, would multiply it by the ranks and not divide it by the accumulated batches.
        self.model_accepts_loss_kwargs = False

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """One pass forward and backward."""
        step = super().training_step
        return self._compiler.run(self, model, inputs, lambda: step(model, inputs, num_items_in_batch))

    def _run_epoch(self, *arguments: Any, **named: Any) -> None:
        """A job that had finished, and starts again, has no steps left; Trainer would take one more where max_steps
        ended it in the midst of an epoch."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*arguments, **named)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return evaluation_order(eval_dataset)

    def evaluation_loop(self, *arguments: Any, **named: Any) -> Any:
        """Of an evaluation or a prediction."""
        with self._compiler.evaluating():
            return super().evaluation_loop(*arguments, **named)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """That of Transformers draws from PyTorch's global generator, whose state at the beginning of an epoch is not
        in a checkpoint that was saved in its midst."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps * self._rank.world_size
        return EpochSampler(rows, lengths=self.train_dataset[LENGTH][:], seed=self.args.seed)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint that cannot be saved does not end the training: those before it stay."""
        self.store_flos()
        states = self._rank.gather(_random_state())
        if self._rank.is_first:
            folder = Path(self.args.output_dir)
            path = checkpoints.path_of(folder, self.state.global_step)
            try:
                with disk_errors_explained(folder):
                    self._write(checkpoints.begin(folder, self.state.global_step), states)
            except (JobError, RuntimeError) as error:
                log.warning("%s cannot be saved: %s", path.name, error)
                shutil.rmtree(path, ignore_errors=True)
                return
            checkpoints.rotate(folder, KEEP, self.state.best_global_step)

    def _write(self, path: Path, states: list[dict[str, Any]]) -> None:
        artifact.save_weights(self.accelerator.unwrap_model(self.model), path)
        self._save_optimizer_and_scheduler(str(path))
        self._save_scaler(str(path))
        for number, state in enumerate(states):
            name = "rng_state.pth" if len(states) == 1 else f"rng_state_{number}.pth"
            torch.save(state, path / name)
        self.state.save_to_json(str(path / STATE))
        checkpoints.complete(path, self._run)


def evaluation_order(data: Any) -> list[int]:
    """The rows in the order in which they are evaluated: by length, so that there is little padding, and the longest
    first, so that too little memory is noticed at once."""
    lengths = [len(ids) for ids in data["input_ids"]]
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]  # transformers is not checked
    """Rows of similar length lie together, in an order that follows from seed and epoch."""

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Accelerate's data loader calls it before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Any:
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch)
        return super().__iter__()


def _random_state() -> dict[str, Any]:
    """That of this rank, in the form that Trainer loads."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        distributed = torch.distributed.is_initialized()
        state["cuda"] = torch.cuda.random.get_rng_state_all() if distributed else torch.cuda.random.get_rng_state()
    return state
