"""The figures at the end of a job: how long a step takes, what of it is waiting, how large everything is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.files.atomic import write_atomically
from byo_container.container.progress import say
from byo_container.handlers.translation.preprocessing.prepared import Prepared
from byo_container.handlers.translation.training import checkpoints, diagnosis
from byo_container.handlers.translation.training.presets import HIGHER_IS_BETTER
from byo_container.handlers.translation.training.throughput import Watch

FILE = "summary.json"


@dataclass(frozen=True)
class Run:
    """What a job has done. Times are in seconds; those of a job that was resumed hold all its parts."""

    updates: int
    preparing_s: float
    """Until training began; of this process alone."""
    training_s: float
    """With validation and saving."""
    watches: Sequence[Watch]
    """Of all ranks, of these processes alone."""
    validations: Sequence[Mapping[str, float]]
    metric: str = "loss"
    """By which the best checkpoint is chosen."""


def make(data: Prepared, run: Run, folder: Path) -> dict[str, Any]:
    """Names and values. Words are pieces of the target language; a megabyte is a million bytes; shares and utilisation
    are 0 to 1, of the time from update to update."""
    first, sizes = run.watches[0], checkpoints.sizes(folder)
    found: dict[str, Any] = {
        "preparing_seconds": round(run.preparing_s, 1),
        "training_seconds": round(run.training_s, 1),
        **_validated(run),
        "updates": run.updates,
        "ranks": len(run.watches),
        **(_rates(run.watches) if first.updates else {}),
        "training_lines": data.facts.get("train_lines"),
        "training_megabytes": data.facts.get("train_megabytes"),
        "checkpoint_megabytes": round(max(sizes.values(), default=0) / 1e6, 3),
        "checkpoint_files": ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in sizes.items()),
    }
    return {name: value for name, value in found.items() if value is not None}


def _validated(run: Run) -> dict[str, Any]:
    """How good the model is, and whether more training would have made it better."""
    validations = run.validations
    if not validations:
        return {}
    last = validations[-1]
    sign = -1 if run.metric in HIGHER_IS_BETTER else 1
    best = min(validations, key=lambda figures: sign * figures.get(run.metric, figures["loss"]))
    found: dict[str, Any] = {
        "seconds_to_the_best_checkpoint": round(best["seconds"], 1) if "seconds" in best else None,
        "fully_trained": diagnosis.fully_trained([figures["loss"] for figures in validations]),
        "overfitting": diagnosis.overfitting(validations),
        "validations": len(validations),
        "validations_since_the_best": len(validations) - 1 - list(validations).index(best),
        "last_train_loss": last.get("train_loss"),
        "last_valid_loss": last["loss"],
        "best_valid_loss": min(figures["loss"] for figures in validations),
    }
    measured = [figures for figures in validations if "bleu" in figures]
    if measured:
        found |= {f"last_valid_{name}": measured[-1][name] for name in ("bleu", "chrf")}
        found["best_valid_bleu"] = max(figures["bleu"] for figures in measured)
    return found


def _rates(watches: Sequence[Watch]) -> dict[str, Any]:
    """What is measured in updates, of which these processes have done one at least."""
    first = watches[0]
    return {
        "step_seconds": round(first.step_s, 4),
        "words_per_second": round(first.words_per_second, 1),
        **_used(watches),
    }


def _used(watches: Sequence[Watch]) -> dict[str, Any]:
    """What training uses of the hosts, and what it waits for."""
    waiting, loading = (
        _mean([getattr(watch, name) for watch in watches]) for name in ("waiting_share", "loading_share")
    )
    there = sum(watch.training_s * watch.cores for watch in watches)
    gpus = [sample for watch in watches for sample in watch.gpu_samples]
    gpu = round(_mean(gpus), 4) if gpus else None
    return {
        "cpu_utilisation": round(sum(watch.cpu_s for watch in watches) / there, 4) if there else None,
        "gpu_utilisation": gpu,
        **_sent(watches),
        "share_waiting_for_the_network": round(waiting, 4),
        "share_waiting_for_data": round(loading, 4),
        "likely_bottleneck": diagnosis.bottleneck(waiting, loading, gpu),
    }


def _sent(watches: Sequence[Watch]) -> dict[str, Any]:
    """Megabytes on the network, the mean of all hosts; nothing where a rank is alone."""
    hosts = [watch for watch in watches if watch.interface]
    if not hosts:
        return {}
    sent, received = (_mean([getattr(host, name) / 1e6 for host in hosts]) for name in ("sent_bytes", "received_bytes"))
    updates = max(1, watches[0].updates)
    return {
        "network_megabytes_sent": round(sent, 3),
        "network_megabytes_received": round(received, 3),
        "network_megabytes_sent_per_update": round(sent / updates, 4),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def leave(figures: dict[str, Any], folder: Path) -> None:
    """Writes and prints them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    width = max(map(len, figures))
    say("summary\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in figures.items()))
