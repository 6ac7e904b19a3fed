"""The life of one rank, from the channel to the model folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError, JobStopped
from byo_container.container.files.disk_errors import check_writable
from byo_container.container.job import TrainingJob
from byo_container.container.log import log
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import say
from byo_container.container.resources import cores
from byo_container.handlers.translation import compat, hyperparameters
from byo_container.handlers.translation.hyperparameters import TrainingSettings
from byo_container.handlers.translation.preprocessing.prepared import Prepared
from byo_container.handlers.translation.training import checkpoints, data, export, resource_usage, run_identity, summary
from byo_container.handlers.translation.training.distribution import Rank
from byo_container.handlers.translation.training.evaluation import Evaluator
from byo_container.handlers.translation.training.loop import Loop


def run(job: TrainingJob[Any]) -> None:
    """Trains as the job's hyperparameters say, resuming from /opt/ml/checkpoints where something is there.

    Raises JobError for what is wrong with the job, and JobStopped after SIGTERM, when a checkpoint is written.
    """
    warnings.simplefilter("ignore")  # fairseq's use of what other packages will drop one day
    compat.install()
    import torch

    began = time.monotonic()
    rank = Rank.of()
    has_gpu = torch.cuda.is_available()
    asked = hyperparameters.read(job.texts, job.paths.hyperparameters, has_gpu)
    for folder in (job.model_dir, job.checkpoint_dir):
        check_writable(folder)
    with data.scratch() as folder:
        text = data.find(job, asked, folder)
        rank.settle(has_gpu)
        parsed = parse(asked, text, rank, job.checkpoint_dir, has_gpu)
        try:
            _train(job, asked, text, rank, parsed, began)
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def parse(asked: TrainingSettings, text: Prepared, rank: Rank, checkpoint_dir: Path, has_gpu: bool) -> Namespace:
    """fairseq's options of this rank, with all defaults."""
    from fairseq import options

    words = [
        str(text.folder),
        *asked.arguments,
        f"--source-lang={text.direction.source}",
        f"--target-lang={text.direction.target}",
        f"--save-dir={checkpoint_dir}",
        *rank.words(has_gpu, asked.backend),
    ]
    parser = options.get_training_parser(default_task="translation")
    parsed: Namespace = options.parse_args_and_arch(parser, input_args=words)
    parsed.tpu = False  # which fairseq takes bf16 to mean
    return parsed


def _train(
    job: TrainingJob[Any], asked: TrainingSettings, text: Prepared, rank: Rank, parsed: Namespace, began: float
) -> None:
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    prepared = time.monotonic()
    known_by, starts_over = run_identity.identify(parsed, asked.training), run_identity.starts_over(parsed)
    cfg = convert_namespace_to_omegaconf(parsed)
    _join(rank, cfg)
    rank.check_together()
    run: dict[str, Any] = {"data": data.check_same(text, rank), "direction": str(text.direction)}
    if rank.is_first:
        run |= {"architecture": asked.architecture, "ranks": rank.world}
        checkpoints.claim(job.checkpoint_dir, run, known_by, starts_over)
        ranks = f"{rank.world} rank{'' if rank.world == 1 else 's'}"
        say(f"{asked.architecture}, {text.direction}, {ranks}: {_told(asked)}")
        for remark in asked.remarks:
            say(remark)
    with StopFlag() as stop:
        loop = Loop(rank, stop, autocast=asked.autocast)
        if asked.evaluation is not None:
            loop.evaluator = Evaluator(text, asked.evaluation, rank, _stops(loop, cfg))
        try:
            with _watched(loop, job):
                loop.run(cfg)
        except JobStopped:
            if rank.is_first:
                _leave_model(job, asked, text, loop)
            raise
        _check_trained(loop)
        watches = rank.gather(loop.watch)
        if rank.is_first:
            if reason := loop.had_nothing_to_do():
                log.warning("nothing was trained: %s, or empty the folder %s", reason, job.checkpoint_dir)
            _leave_model(job, asked, text, loop)
            done = summary.Run(
                updates=loop.trainer.get_num_updates(),
                preparing_s=prepared - began,
                training_s=float(loop.trainer.cumulative_training_time()),
                watches=watches,
                validations=loop.validations,
                metric=cfg.checkpoint.best_checkpoint_metric,
            )
            summary.leave(summary.make(text, done, job.checkpoint_dir), job.output_data_dir)


@contextlib.contextmanager
def _watched(loop: Loop, job: TrainingJob[Any]) -> Iterator[None]:
    """Notes what training uses of this host; for the host as a whole the first of its ranks does."""
    import torch

    rank, watch = loop.rank, loop.watch
    watch.cores = cores() / rank.beside
    if rank.local > 0:
        yield
        return
    if rank.world > 1:
        watch.interface = job.hosts.network_interface if rank.world > rank.beside else resource_usage.LOOPBACK
    if not torch.cuda.is_available():
        yield
        return
    with resource_usage.sampling_gpus(lambda: watch.is_training, watch.gpu_samples.append):
        yield


def _join(rank: Rank, cfg: Any) -> None:
    if rank.world > 1:
        from fairseq.distributed import utils

        utils.distributed_init(cfg)
        logging.getLogger().setLevel(logging.WARNING)  # which it sets to INFO, for everybody's remarks


def _stops(loop: Loop, cfg: Any) -> Any:
    """Whether to cut translating short. Not where the best checkpoint is chosen by it: the choice would differ from
    that of a job which nobody stopped."""
    if cfg.checkpoint.best_checkpoint_metric in ("bleu", "chrf"):
        return lambda: False
    return lambda: any(loop.rank.gather(loop.stop.requested))


def _check_trained(loop: Loop) -> None:
    """Raises JobError on all ranks unless each of them has trained, and all of them the same."""
    rank, trainer = loop.rank, loop.trainer
    mine = (trainer.get_num_updates(), loop.watch.updates, loop.watch.batches, _digest(trainer.get_model()))
    everyone = rank.gather(mine)
    for number, (updates, own, batches, _) in enumerate(everyone):
        if updates == 0:
            raise JobError(
                f"rank {number} has trained nothing: no update was done; are max_epoch, max_update and stop_min_lr "
                "right?"
            )
        if own and not batches:
            raise JobError(
                f"rank {number} got nothing to train on: the training text makes fewer batches than there are ranks "
                f"({rank.world}); lower max_tokens, or take fewer hosts"
            )
    if len({(updates, digest) for updates, _, _, digest in everyone}) > 1:
        raise JobError("the ranks have ended with different parameters, which must not be; see ddp_backend")


def _digest(network: Any) -> str:
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(network.named_parameters()):
        digest.update(name.encode())
        # As bytes: NumPy has no bfloat16.
        digest.update(parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _leave_model(job: TrainingJob[Any], asked: TrainingSettings, text: Prepared, loop: Loop) -> None:
    best = checkpoints.best(job.checkpoint_dir)
    if best:
        export.leave(best, text, asked, loop.validations, job.model_dir)
        say(f"saved {job.model_dir} from {best.name}")


def _told(asked: TrainingSettings) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(asked.training.items()) if name not in ("arch", "cpu"))
