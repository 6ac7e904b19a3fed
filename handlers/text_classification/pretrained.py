"""Where the encoder and its tokenizer come from: a name of the hub, a path, or the channel `model`."""

from __future__ import annotations

from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob

CHANNEL = "model"


def find(job: TrainingJob[Any]) -> str:
    """What `from_pretrained` takes. Raises JobError."""
    if job.hyperparameters.model_id:
        return str(job.hyperparameters.model_id)
    if CHANNEL in job.channels:
        return str(job.channel(CHANNEL).path)
    raise JobError("this job needs the hyperparameter model_id, a name of the hub or a path, or a channel `model`")
