"""8-bit weights beside the trained model, where they are as accurate as it is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.container.progress import say
from byo_container.handlers.text_classification import quantization
from byo_container.handlers.text_classification.artifact import INT8
from byo_container.handlers.text_classification.inference import networks
from byo_container.handlers.text_classification.inference.encoding import Encoded
from byo_container.handlers.text_classification.training.evaluation import Measured
from byo_container.handlers.text_classification.training.task import Task

MOST_LOST = 0.002
"""Of the accuracy."""
MOST_TEXTS = 2_000
"""To compare them by; spread over the split."""


def add(task: Task, found: Measured) -> Mapping[str, Any]:
    """Writes model_int8.onnx beside the model in /opt/ml/model, if it is as accurate as `found`, or the job has
    int8=true. What summary.json tells of it. A failure is a warning: the model is trained."""
    wanted = task.chosen.int8
    if wanted is False or quantization.missing_packages():
        return {}
    began = time.monotonic()
    rows = spread(len(found.data), MOST_TEXTS)
    before = accuracy(found.scores[rows].argmax(axis=1), found.actual[rows])
    after = 0.0

    def is_good(path: Path) -> bool:
        nonlocal after
        after = accuracy(predict(task, found, rows, path), found.actual[rows])
        return wanted is True or is_as_accurate(before, after, len(rows))

    try:
        path = quantization.write(task.job.model_dir, is_good)
    except Exception as error:  # of ONNX Runtime's own kinds too
        reason = error if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
        log.warning("the model is served without 8-bit weights: %s", reason)
        return {}
    compared = f"accuracy {after:.4f} with 8-bit weights, {before:.4f} without, on {len(rows):,} texts"
    if path is None:
        say(f"{compared}: {INT8} is not kept; int8=true would keep it")
        return {"int8_accuracy": round(after, 4), "int8": "not kept"}
    say(f"{compared}: saved {path} for serving on CPUs, in {time.monotonic() - began:.0f} s")
    return {"int8_accuracy": round(after, 4), "int8": "saved"}


def is_as_accurate(before: float, after: float, texts: int) -> bool:
    """Whether no more than MOST_LOST is lost, or one text where the texts are few."""
    return round((before - after) * texts) <= max(1, int(MOST_LOST * texts))


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, evenly."""
    return [number * count // most for number in range(most)] if count > most else list(range(count))


def accuracy(predicted: Any, actual: Any) -> float:
    return float((predicted == actual).mean())


def predict(task: Task, found: Measured, rows: Sequence[int], path: Path) -> Any:
    """(texts,): labels by number, as the endpoint would find them by the 8-bit weights in `path`."""
    import numpy as np

    padding = task.tokenizer.pad_token_id
    network = networks.in_onnx_runtime(quantization.load_session(path, os.cpu_count() or 1))
    texts = [Encoded(list(found.data[found.order[row]]["input_ids"]), []) for row in rows]
    return np.argmax(network.compute(texts, padding), axis=1)
