"""One rank of a fine-tuning job, from the channels to the model folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobStopped
from byo_container.container.files.disk_errors import check_writable
from byo_container.container.job import TrainingJob
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import say
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification import artifact, pretrained, quantization
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.preprocessing.padding import PadToBucket, savings
from byo_container.handlers.text_classification.training import (
    best,
    checkpoints,
    identity,
    lora,
    measures,
    quiet,
    sdk_settings,
    transfer,
)
from byo_container.handlers.text_classification.training.arguments import training_arguments
from byo_container.handlers.text_classification.training.task import Task, prepare


def run(job: TrainingJob[Hyperparameters]) -> None:
    """Fine-tunes as the job's hyperparameters say, and resumes from /opt/ml/checkpoints where that has a checkpoint.

    Raises JobError for what is wrong with the job, and JobStopped after SIGTERM, when checkpoint and model are saved.
    """
    quiet.silence_libraries()
    import torch

    for folder in (job.model_dir, job.checkpoint_dir):
        check_writable(folder)
    quantization.check_packages(job.hyperparameters.int8)
    rank = Rank.from_environment()
    has_gpu = torch.cuda.is_available()
    with StopFlag() as stop, _joined(rank, has_gpu):
        with tempfile.TemporaryDirectory(prefix="text-classification-") as scratch:
            task = prepare(job, rank, has_gpu, Path(scratch))
        _train(task, stop)


@contextlib.contextmanager
def _joined(rank: Rank, has_gpu: bool) -> Iterator[None]:
    """The ranks find each other, and part at the end."""
    import torch

    rank.configure_process(has_gpu)
    if rank.world_size > 1:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
    try:
        rank.check_world_size()
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _train(task: Task, stop: StopFlag) -> None:
    # Transformers' Trainer is imported only here: bad data were refused before.
    from byo_container.handlers.text_classification.training import evaluation, int8
    from byo_container.handlers.text_classification.training.compilation import measuring
    from byo_container.handlers.text_classification.training.compilation.compiler import Compiler
    from byo_container.handlers.text_classification.training.flow import Flow

    identity.check_same("texts", task.run["data"], task.rank)
    identity.check_same("models", task.run["model"], task.rank)
    _announce(task)
    flow = Flow(task.chosen, task.rank, stop)
    compiler = Compiler.of(task)
    trainer = make_trainer(task, [flow], compiler)
    start = _checkpoint(task)
    with compiler.training():
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    best.restore(trainer, task)
    lora.merge(trainer)
    if task.rank.is_first:
        artifact.save(trainer.accelerator.unwrap_model(trainer.model), task.tokenizer, task.job.model_dir)
        say(f"saved {task.job.model_dir}")
    if flow.stopped:
        raise JobStopped(
            f"after step {trainer.state.global_step} of {trainer.state.max_steps}; a checkpoint and the model so far "
            "are saved"
        )
    found = evaluation.measure(trainer, task)
    if task.rank.is_first:
        account = {**measuring.summary(compiler.account()), **int8.add(task, found)}
        evaluation.write(found, task, trainer.state.log_history, account)


def make_trainer(task: Task, callbacks: list[Any], compiler: Any) -> Any:
    """The Trainer of this rank."""
    from transformers import TrainingArguments

    from byo_container.handlers.text_classification.training.trainer import FineTuner

    arguments = training_arguments(
        task.chosen, task.precision, task.job.checkpoint_dir, task.has_gpu, task.rank.world_size
    )
    return FineTuner(
        task.rank,
        task.run,
        compiler,
        model=task.model,
        args=TrainingArguments(**arguments),
        data_collator=PadToBucket(task.tokenizer.pad_token_id, task.max_length),
        train_dataset=task.train,
        eval_dataset=task.validation,
        compute_metrics=measures.of_predictions,
        callbacks=callbacks,
    )


def _announce(task: Task) -> None:
    if task.rank.is_first:
        say(
            f"{len(task.train):,} texts to train on and {len(task.validation):,} to validate with, {len(task.labels)} "
            f"labels: {', '.join(task.labels[:20])}{', …' if len(task.labels) > 20 else ''}"
        )
        kind, size = task.model.config.model_type, sum(each.numel() for each in task.model.parameters())
        say(
            f"fine-tuning {pretrained.origin(task.job)} ({kind}, {size:,} parameters), on texts of {task.max_length:,} "
            "tokens at most"
        )
        if adapters := lora.described(task.model):
            say(adapters)
        by_length = task.chosen.sampling == "group_by_length"
        lengths, rows = list(task.train["length"]), task.chosen.train_batch_size
        say(savings(lengths, rows, task.max_length, by_length=by_length).line())
        say(f"{task.precision.name}: {task.precision.reason}")
        if remark := sdk_settings.remark(task.chosen, task.job.texts, task.job.platform):
            say(remark)


def _checkpoint(task: Task) -> Path | None:
    """The checkpoint to go on from, on every host."""
    folder = task.job.checkpoint_dir
    found = None
    if task.rank.is_first:
        found = checkpoints.newest(folder, task.run, identity.MEANINGS)
        checkpoints.remove_incomplete(folder)
    return transfer.share(found, folder, task.rank)
