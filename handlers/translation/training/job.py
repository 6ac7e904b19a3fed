"""One rank of a training job, from the channel to the model folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
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
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.training import checkpoints, data, export, resource_usage, run_identity, summary
from byo_container.handlers.translation.training.distribution import Rank
from byo_container.handlers.translation.training.evaluation import Evaluator
from byo_container.handlers.translation.training.loop import TrainingLoop, why_no_update
from byo_container.handlers.translation.training.state import TrainingState


def run(job: TrainingJob[Any]) -> None:
    """Trains as the job's hyperparameters say. Resumes from /opt/ml/checkpoints where that has a checkpoint.

    Raises JobError for what is wrong with the job, and JobStopped after SIGTERM, when a checkpoint is saved.
    """
    warnings.simplefilter("ignore")  # fairseq calls what other packages have deprecated
    compat.install()
    import torch

    started = time.monotonic()
    rank = Rank.from_environment()
    has_gpu = torch.cuda.is_available()
    settings = hyperparameters.read(job.texts, job.paths.hyperparameters, has_gpu)
    for folder in (job.model_dir, job.checkpoint_dir):
        check_writable(folder)
    with data.scratch() as folder:
        text = data.prepared_text(job, settings, folder)
        rank.configure_process(has_gpu)
        options = parse(settings, text, rank, job.checkpoint_dir, has_gpu)
        try:
            _train(job, settings, text, rank, options, started)
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def parse(settings: TrainingSettings, text: PreparedText, rank: Rank, checkpoint_dir: Path, has_gpu: bool) -> Namespace:
    """fairseq's options of this rank, with all defaults."""
    from fairseq import options

    arguments = [
        str(text.folder),
        *settings.arguments,
        f"--source-lang={text.direction.source}",
        f"--target-lang={text.direction.target}",
        f"--save-dir={checkpoint_dir}",
        *rank.fairseq_arguments(has_gpu, settings.backend),
    ]
    parser = options.get_training_parser(default_task="translation")
    parsed: Namespace = options.parse_args_and_arch(parser, input_args=arguments)
    parsed.tpu = False  # fairseq takes bf16 to mean it
    return parsed


def _train(
    job: TrainingJob[Any],
    settings: TrainingSettings,
    text: PreparedText,
    rank: Rank,
    options: Namespace,
    started: float,
) -> None:
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    prepared = time.monotonic()
    # Before omegaconf, which changes the namespace.
    identity = run_identity.identify(options, settings.training)
    resets = run_identity.resets(options)
    cfg = convert_namespace_to_omegaconf(options)
    _join(rank, cfg)
    rank.check_world_size()
    run: dict[str, Any] = {"data": data.check_same(text, rank), "direction": str(text.direction)}
    if rank.is_first:
        run |= {"architecture": settings.architecture, "ranks": rank.world_size}
        checkpoints.claim(job.checkpoint_dir, run, identity, resets)
        _announce(settings, text, rank)
    with StopFlag() as stop:
        state = TrainingState(rank, stop, settings.autocast)
        evaluator = None
        if settings.evaluation is not None:
            evaluator = Evaluator(text, settings.evaluation, rank, _evaluation_stop(state, cfg))
        try:
            with _measured(state, job):
                TrainingLoop(state, evaluator).run(cfg)
        except JobStopped:
            if rank.is_first:
                _export(job, settings, text, state)
            raise
        _check_trained(state)
        meters = rank.gather(state.meter)
        if rank.is_first:
            if reason := why_no_update(state):
                log.warning("nothing was trained: %s, or empty the folder %s", reason, job.checkpoint_dir)
            _export(job, settings, text, state)
            finished = summary.FinishedRun(
                updates=state.trainer.get_num_updates(),
                preparing_s=prepared - started,
                training_s=float(state.trainer.cumulative_training_time()),
                meters=meters,
                validations=state.validations,
                metric=cfg.checkpoint.best_checkpoint_metric,
            )
            summary.write(summary.make(text, finished, job.checkpoint_dir), job.output_data_dir)


def _announce(settings: TrainingSettings, text: PreparedText, rank: Rank) -> None:
    ranks = f"{rank.world_size} rank{'' if rank.world_size == 1 else 's'}"
    options = sorted(item for item in settings.training.items() if item[0] not in ("arch", "cpu"))
    listed = ", ".join(f"{name}={value}" for name, value in options)
    say(f"{settings.architecture}, {text.direction}, {ranks}: {listed}")
    for remark in settings.remarks:
        say(remark)


@contextlib.contextmanager
def _measured(state: TrainingState, job: TrainingJob[Any]) -> Iterator[None]:
    """Measures what training uses of this host. The first rank of a host measures the host as a whole."""
    import torch

    rank, meter = state.rank, state.meter
    meter.cores = cores() / rank.local_world_size
    if rank.local_rank > 0:
        yield
        return
    if rank.world_size > 1:
        has_other_hosts = rank.world_size > rank.local_world_size
        meter.interface = job.hosts.network_interface if has_other_hosts else resource_usage.LOOPBACK
    if not torch.cuda.is_available():
        yield
        return
    with resource_usage.sampling_gpus(lambda: meter.is_training, meter.gpu_samples.append):
        yield


def _join(rank: Rank, cfg: Any) -> None:
    if rank.world_size > 1:
        from fairseq.distributed import utils

        utils.distributed_init(cfg)
        logging.getLogger().setLevel(logging.WARNING)  # fairseq sets it to INFO for all packages


def _evaluation_stop(state: TrainingState, cfg: Any) -> Callable[[], bool]:
    """Whether to cut an evaluation short. Never where it selects the best checkpoint: the selection would differ from
    that of a job without interruption."""
    selects = cfg.checkpoint.best_checkpoint_metric in ("bleu", "chrf")

    def is_requested() -> bool:
        return not selects and any(state.rank.gather(state.stop.requested))

    return is_requested


def _check_trained(state: TrainingState) -> None:
    """Raises JobError on all ranks unless each of them has trained, and all have the same model."""
    rank, trainer = state.rank, state.trainer
    own = (trainer.get_num_updates(), state.meter.updates, state.meter.batches, _digest(trainer.get_model()))
    everyone = rank.gather(own)
    for number, (updates, own_updates, batches, _) in enumerate(everyone):
        if updates == 0:
            raise JobError(
                f"rank {number} has trained nothing: no update was done; are max_epoch, max_update and stop_min_lr "
                "right?"
            )
        if own_updates and not batches:
            raise JobError(
                f"rank {number} got nothing to train on: the training text makes fewer batches than there are ranks "
                f"({rank.world_size}); lower max_tokens, or take fewer hosts"
            )
    if len({(updates, digest) for updates, _, _, digest in everyone}) > 1:
        raise JobError("the ranks have ended with different parameters, which must not be; see ddp_backend")


def _digest(model: Any) -> str:
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        # As bytes: NumPy has no bfloat16.
        digest.update(parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _export(job: TrainingJob[Any], settings: TrainingSettings, text: PreparedText, state: TrainingState) -> None:
    best = checkpoints.best(job.checkpoint_dir)
    if best:
        export.export_model(best, text, settings, state.validations, job.model_dir)
        say(f"saved {job.model_dir} from {best.name}")
