"""A handler's training in the process of a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byo_container.container import manifest
from byo_container.container.job import read_job
from byo_container.container.paths import Paths
from byo_container.training.processes import run_handler

HOST = "algo-1"


def train(
    handler_class: type[Any],
    root: Path | str,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    channels: Mapping[str, Path | str | Mapping[str, str | bytes]] | None = None,
) -> Path:
    """Calls the handler's `train` with a job in `root`, which stands for /opt/ml, and returns the model folder.

    `hyperparameters` are checked as in a job. A channel is a folder, or its files: `{"training": {"a.csv": "1,2"}}`.
    Raises whatever the training raises: JobError for wrong hyperparameters, too. Outputs are below `root/output`.
    """
    paths = Paths(Path(root))
    _write(paths.hyperparameters, dict(hyperparameters or {}))
    _write(paths.input_data_config, {name: {"TrainingInputMode": "File"} for name in channels or {}})
    _write(paths.resource_config, {"current_host": HOST, "hosts": [HOST]})
    for name, content in (channels or {}).items():
        _fill(paths.data / name, content)
    for folder in (paths.model, paths.output_data, paths.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    name = f"{handler_class.__module__}:{handler_class.__qualname__}"
    run_handler.train(handler_class, name, read_job(paths))
    manifest.keep(name, paths)
    return paths.model


def _fill(folder: Path, content: Path | str | Mapping[str, str | bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, Mapping):
        folder.unlink(missing_ok=True)  # the link of an earlier training in the same root
        folder.symlink_to(Path(content).resolve(), target_is_directory=True)
        return
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
