"""Plots of a training: curves.png and confusion_matrix.png in output/data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")  # before pyplot looks for a display

from matplotlib import pyplot as plt

Entry = Mapping[str, Any]
WITH_NUMBERS = 12
"""Labels up to which a cell of the confusion matrix has its numbers."""
MAX_LABELS = 40
"""Labels that the matrix has: those that are confused most often, and the rest as one."""
REST = "all others"
MAX_NAME = 24


def draw(
    history: Sequence[Entry], counts: npt.NDArray[np.int64], labels: Sequence[str], split: str, folder: Path
) -> None:
    """Draws both. `history` is the Trainer's; counts: (labels, labels), actual by predicted. Raises OSError."""
    _draw_curves(history, folder / "curves.png")
    _draw_confusion(*limit(counts, labels), split, folder / "confusion_matrix.png")


def limit(
    counts: npt.NDArray[np.int64], labels: Sequence[str], most: int = MAX_LABELS
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The matrix and its labels, where there are more than `most` with the least confused ones added up."""
    names = [name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…" for name in labels]
    if len(labels) <= most:
        return counts, names
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[: most - 1])
    place = np.full(len(labels), most - 1)
    place[kept] = np.arange(most - 1)
    small = np.zeros((most, most), np.int64)
    np.add.at(small, (place[:, None], place[None, :]), counts)
    return small, [*(names[number] for number in kept), REST]


def curves_of(history: Sequence[Entry]) -> dict[str, list[tuple[float, float]]]:
    """(epoch, value) of each metric in the history."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in history:
        for name in ("loss", "eval_loss", "eval_accuracy", "eval_f1"):
            if name in entry:
                found.setdefault(name, []).append((float(entry["epoch"]), float(entry[name])))
    return found


def _draw_curves(history: Sequence[Entry], path: Path) -> None:
    curves = curves_of(history)
    figure, (losses, qualities) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    shown = (
        (losses, "loss", "training"),
        (losses, "eval_loss", "validation"),
        (qualities, "eval_accuracy", "accuracy"),
        (qualities, "eval_f1", "F1, mean of the labels"),
    )
    for axes, name, label in shown:
        if points := curves.get(name):
            axes.plot(*zip(*points, strict=True), "-" if name == "loss" else "o-", label=label)
    losses.set(title="Cross-entropy", xlabel="epoch", ylabel="nats a text")
    qualities.set(title="Validation", xlabel="epoch")
    for axes in (losses, qualities):
        axes.grid(alpha=0.3)
        if axes.get_lines():
            axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_confusion(counts: npt.NDArray[np.int64], names: Sequence[str], split: str, path: Path) -> None:
    size = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    inches = min(14.0, 4.5 + 0.45 * size)
    figure, axes = plt.subplots(figsize=(inches, inches * 0.9), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    texts = [name.replace("$", r"\$") for name in names]  # no formulas
    small = {"fontsize": 7} if size > WITH_NUMBERS else {}
    axes.set_xticks(range(size), texts, rotation=60 if small else 30, ha="right", **small)
    axes.set_yticks(range(size), texts, **small)
    axes.set(title=f"Texts of {split}", xlabel="classified as", ylabel="is")
    if size <= WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{count:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    figure.savefig(path, dpi=100)
    plt.close(figure)
