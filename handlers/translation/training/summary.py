"""The summary at the end of a job: durations, waiting times, sizes and a diagnosis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.files.atomic import write_atomically
from byo_container.container.progress import say
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.training import checkpoints, diagnosis
from byo_container.handlers.translation.training.presets import HIGHER_IS_BETTER
from byo_container.handlers.translation.training.throughput import ThroughputMeter

FILE = "summary.json"


@dataclass(frozen=True)
class FinishedRun:
    """The measurements of a job. Times are in seconds, and include those before the job was resumed."""

    updates: int
    preparing_s: float
    """Time before training, of this process only."""
    training_s: float
    """Including validation and saving."""
    meters: Sequence[ThroughputMeter]
    """Of all ranks, of these processes only."""
    validations: Sequence[Mapping[str, float]]
    metric: str = "loss"
    """The metric that selects the best checkpoint."""


def make(data: PreparedText, run: FinishedRun, folder: Path) -> dict[str, Any]:
    """Names and values. Words are subword tokens of the target language; a megabyte is a million bytes; shares and
    utilisation are 0 to 1, of the time from update to update."""
    first, sizes = run.meters[0], checkpoints.sizes(folder)
    values: dict[str, Any] = {
        "preparing_seconds": round(run.preparing_s, 1),
        "training_seconds": round(run.training_s, 1),
        **_validated(run),
        "updates": run.updates,
        "ranks": len(run.meters),
        **(_rates(run.meters) if first.updates else {}),
        "training_lines": data.facts.get("train_lines"),
        "training_megabytes": data.facts.get("train_megabytes"),
        "checkpoint_megabytes": round(max(sizes.values(), default=0) / 1e6, 3),
        "checkpoint_files": ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in sizes.items()),
    }
    return {name: value for name, value in values.items() if value is not None}


def _validated(run: FinishedRun) -> dict[str, Any]:
    """The quality of the model, and whether more training would have improved it."""
    validations = run.validations
    if not validations:
        return {}
    last = validations[-1]
    sign = -1 if run.metric in HIGHER_IS_BETTER else 1
    best = min(validations, key=lambda metrics: sign * metrics.get(run.metric, metrics["loss"]))
    values: dict[str, Any] = {
        "seconds_to_the_best_checkpoint": round(best["seconds"], 1) if "seconds" in best else None,
        "fully_trained": diagnosis.fully_trained([metrics["loss"] for metrics in validations]),
        "overfitting": diagnosis.overfitting(validations),
        "validations": len(validations),
        "validations_since_the_best": len(validations) - 1 - list(validations).index(best),
        "last_train_loss": last.get("train_loss"),
        "last_valid_loss": last["loss"],
        "best_valid_loss": min(metrics["loss"] for metrics in validations),
    }
    measured = [metrics for metrics in validations if "bleu" in metrics]
    if measured:
        values |= {f"last_valid_{name}": measured[-1][name] for name in ("bleu", "chrf")}
        values["best_valid_bleu"] = max(metrics["bleu"] for metrics in measured)
    return values


def _rates(meters: Sequence[ThroughputMeter]) -> dict[str, Any]:
    """Measurements that need at least one update of these processes."""
    step_s, words = round(meters[0].step_s, 4), round(meters[0].words_per_second, 1)
    return {"step_seconds": step_s, "words_per_second": words, **_used(meters)}


def _used(meters: Sequence[ThroughputMeter]) -> dict[str, Any]:
    """What training uses of the hosts, and what it waits for."""
    waiting, loading = (
        _mean([getattr(meter, name) for meter in meters]) for name in ("waiting_share", "loading_share")
    )
    available = sum(meter.training_s * meter.cores for meter in meters)
    gpus = [sample for meter in meters for sample in meter.gpu_samples]
    gpu = round(_mean(gpus), 4) if gpus else None
    return {
        "cpu_utilisation": round(sum(meter.cpu_s for meter in meters) / available, 4) if available else None,
        "gpu_utilisation": gpu,
        **_sent(meters),
        "share_waiting_for_the_network": round(waiting, 4),
        "share_waiting_for_data": round(loading, 4),
        "likely_bottleneck": diagnosis.bottleneck(waiting, loading, gpu),
    }


def _sent(meters: Sequence[ThroughputMeter]) -> dict[str, Any]:
    """Megabytes on the network, the mean of all hosts; empty with a single rank."""
    hosts = [meter for meter in meters if meter.interface]
    if not hosts:
        return {}
    sent, received = (_mean([getattr(host, name) / 1e6 for host in hosts]) for name in ("sent_bytes", "received_bytes"))
    updates = max(1, meters[0].updates)
    return {
        "network_megabytes_sent": round(sent, 3),
        "network_megabytes_received": round(received, 3),
        "network_megabytes_sent_per_update": round(sent / updates, 4),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def write(values: dict[str, Any], folder: Path) -> None:
    """Writes and logs the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, json.dumps(values, ensure_ascii=False, indent=2) + "\n")
    width = max(map(len, values))
    say("summary\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in values.items()))
