"""Plots of a training: curves.png and confusion_matrix.png in output/data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

from byo_container.container.files.disk_errors import disk_errors_explained
from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.training.metric_log import EpochMetrics

matplotlib.use("Agg")  # before pyplot looks for a display

from matplotlib import pyplot as plt


def draw(
    epochs: Sequence[EpochMetrics], probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], folder: Path
) -> None:
    """Draws both. probabilities: (rows, 4), of the validation headlines; labels: (rows,). Raises
    JobError where `folder` cannot be written to."""
    counts = confusion(probabilities.argmax(axis=1), labels)
    with disk_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _draw_curves(epochs, folder / "curves.png")
        _draw_confusion(counts, folder / "confusion_matrix.png")


def confusion(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """(4, 4): the number of headlines of category `row` that were classified as category `column`."""
    size = len(NAMES)
    return np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)


def _draw_curves(epochs: Sequence[EpochMetrics], path: Path) -> None:
    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    numbers = range(1, len(epochs) + 1)
    losses.plot(numbers, [e.loss for e in epochs], "o-", label="training")
    losses.plot(numbers, [e.val_loss for e in epochs], "o-", label="validation")
    losses.set(title="Cross-entropy", xlabel="epoch", ylabel="nats a headline")
    accuracies.plot(numbers, [e.accuracy for e in epochs], "o-", label="training")
    accuracies.plot(numbers, [e.val_accuracy for e in epochs], "o-", label="validation")
    accuracies.set(title="Accuracy", xlabel="epoch", ylabel="share of headlines")
    for axes in (losses, accuracies):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_confusion(counts: npt.NDArray[np.int64], path: Path) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=30, ha="right")
    axes.set_yticks(range(len(NAMES)), NAMES)
    axes.set(title="Validation headlines", xlabel="classified as", ylabel="is")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{count:,}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    figure.savefig(path, dpi=100)
    plt.close(figure)
