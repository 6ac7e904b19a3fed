"""Jobs on the sample's headlines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from byo_container.handlers.news import NewsClassifier, sample

SMALL = {"vocabulary_size": 4096, "epochs": 2}

MakeJob = Callable[..., TrainingJob[Any]]


def make_job_below(root: Path, data: bytes | None, **hyperparameters: object) -> TrainingJob[Any]:
    """A job as the platform would lay it out; `data` is newsCorpora.csv, 400 rows of the sample when None."""
    paths = Paths(root)
    channel = paths.data / "training"
    for folder in (paths.config, channel, paths.model):
        folder.mkdir(parents=True, exist_ok=True)
    if data is None:
        sample.write(channel / "newsCorpora.csv", rows=400)
    else:
        (channel / "newsCorpora.csv").write_bytes(data)
    texts = {name: str(value) for name, value in {**SMALL, **hyperparameters}.items()}
    paths.hyperparameters.write_text(json.dumps(texts))
    paths.input_data_config.write_text('{"training": {"TrainingInputMode": "File"}}')
    paths.resource_config.write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    return TrainingJob.read(paths).declare(NewsClassifier.Hyperparameters)
