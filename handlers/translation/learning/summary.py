"""The figures at the end of a job: how long a step takes, what of it is waiting, how large everything is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from container.handler import write_atomically
from container.progress import say
from handlers.translation.learning import checkpoints
from handlers.translation.learning.watch import Watch
from handlers.translation.preparing.prepared import Prepared

FILE = "summary.json"


def make(
    data: Prepared, watches: Sequence[Watch], updates: int, validations: Sequence[dict[str, float]], folder: Path
) -> dict[str, Any]:
    """Names and values. Words are pieces of the target language; a megabyte is a million bytes. Times are this
    process's own: after a resume, from there on."""
    first = watches[0]
    sizes = checkpoints.sizes(folder)
    waiting = [watch.waiting_share for watch in watches]
    found: dict[str, Any] = {
        "updates": updates,
        "ranks": len(watches),
        "step_seconds": round(first.step_s, 4),
        "words_per_second": round(first.words_per_second, 1),
        "share_waiting_for_the_network": round(sum(waiting) / len(waiting), 4),
        "training_lines": data.facts.get("train_lines"),
        "training_megabytes": data.facts.get("train_megabytes"),
        "checkpoint_megabytes": round(max(sizes.values(), default=0) / 1e6, 3),
        "checkpoint_files": ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in sizes.items()),
    }
    if validations:
        last = validations[-1]
        best = min(validations, key=lambda figures: figures["loss"])
        found |= {"last_valid_loss": last["loss"], "best_valid_loss": best["loss"]}
        measured = [figures for figures in validations if "bleu" in figures]
        if measured:
            found |= {f"last_valid_{name}": measured[-1][name] for name in ("bleu", "chrf")}
            found["best_valid_bleu"] = max(figures["bleu"] for figures in measured)
    return {name: value for name, value in found.items() if value is not None}


def leave(figures: dict[str, Any], folder: Path) -> None:
    """Writes and prints them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    width = max(map(len, figures))
    say("summary\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in figures.items()))
