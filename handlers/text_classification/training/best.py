"""The parameters of the best checkpoint, on all ranks."""

from __future__ import annotations

from typing import Any

from byo_container.container.log import log
from byo_container.container.progress import say
from byo_container.handlers.text_classification.training import checkpoints
from byo_container.handlers.text_classification.training.task import Task


def restore(trainer: Any, task: Task) -> None:
    """Loads them into the Trainer's model; that stays as it is where no checkpoint was the best, or the last was."""
    step = trainer.state.best_global_step
    if step is None or step == trainer.state.global_step:
        return
    path = checkpoints.path_of(task.job.checkpoint_dir, step)
    if task.rank.is_first:
        if isinstance(why := checkpoints.read(path), str):
            log.warning("the best checkpoint was %s, and %s; the model is that of the last step", path, why)
        else:
            trainer._load_from_checkpoint(str(path))
            say(f"the model is that of step {step}, the best by {task.chosen.metric_for_best_model}")
    share(trainer.model, task)


def share(model: Any, task: Task) -> None:
    """Gives rank 0's parameters to the others."""
    if task.rank.world_size > 1:
        import torch

        for _, tensor in sorted(model.state_dict().items()):
            torch.distributed.broadcast(tensor, src=0)
