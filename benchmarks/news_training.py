"""The news classifier against the AWS workshop's networks, from reading the file to the saved model:

    python -m benchmarks.news_training DATA [--runs 3]

DATA is newsCorpora.csv, or the folder that holds it, and may hold glove.6B.100d.txt for the workshop's networks. Where
it has none, vectors are made first that cover their vocabulary (benchmarks/headline_vectors.py: 20 s, not counted).
All sides run in turn, each time in a fresh process, on the same headlines and the same split. The clock starts when
Python and TensorFlow have been imported and stops when the model is on disk, for ours also the pictures and the
TensorBoard events.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.headline_vectors import DIMENSIONS, FILE, WORDS, most_frequent, normalise

HERE = Path(__file__).resolve()
LABELS = {"b": 0, "t": 1, "e": 2, "m": 3}
WIDTH = 100


@dataclass(frozen=True)
class Run:
    """seconds: wall time; cpu_seconds: of all threads; accuracy: on the validation fifth, a share of 1."""

    seconds: float
    cpu_seconds: float
    accuracy: float


# ------------------------------------------------------------------------------------------------------ ours


def ours(data: Path, folder: Path, vectors: Path) -> None:
    """The handler's default configuration, as `train` calls it."""
    from byo_container.container.job import TrainingJob
    from byo_container.container.paths import Paths
    from byo_container.handlers.news import NewsClassifier

    paths = Paths(folder)
    for place in (paths.config, paths.data, paths.model):
        place.mkdir(parents=True)
    (paths.data / "training").symlink_to(data if data.is_dir() else data.parent)
    paths.hyperparameters.write_text("{}")
    paths.input_data_config.write_text('{"training": {"TrainingInputMode": "File"}}')
    paths.resource_config.write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    NewsClassifier().train(TrainingJob.read(paths).declare(NewsClassifier.Hyperparameters))


# ------------------------------------------------------------------------------------------- the workshop's


def workshop(data: Path, folder: Path, vectors: Path, layers: Sequence[int] = (2,)) -> None:
    """A frozen table of pretrained vectors of the 10,000 most frequent words, headlines padded to 100 words,
    flattened; dense `layers`, softmax of 4; RMSprop, batches of 32, two epochs. As a user would write it."""
    import keras
    import numpy as np

    from byo_container.handlers.news.preprocessing.dataset import split

    titles, labels = _read_lines(data / "newsCorpora.csv" if data.is_dir() else data)
    texts = [normalise(title).split() for title in titles]
    index = {word: number for number, word in enumerate(most_frequent(texts), 1)}
    rows = [[index[word] for word in text if word in index] for text in texts]
    padded = keras.utils.pad_sequences(rows, maxlen=WIDTH)
    targets = keras.utils.to_categorical(labels, len(LABELS))
    parts = split(len(titles))
    network = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            keras.layers.Embedding(WORDS + 1, DIMENSIONS, trainable=False),
            keras.layers.Flatten(),
            *(keras.layers.Dense(units, activation="relu") for units in layers),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    network.layers[0].set_weights([_glove(vectors, index)])
    network.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    history = network.fit(
        padded[parts.training],
        targets[parts.training],
        validation_data=(padded[parts.validation], targets[parts.validation]),
        epochs=2,
        batch_size=32,
        verbose=2,
    )
    network.save(folder / "news_breaker.keras")
    (folder / "index.json").write_text(json.dumps(index))
    print(f"val_acc={np.float64(history.history['val_accuracy'][-1]):.4f};")


def _read_lines(path: Path) -> tuple[list[str], list[int]]:
    titles, labels = [], []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            columns = line.split("\t")
            titles.append(columns[1])
            labels.append(LABELS[columns[4]])
    return titles, labels


def _glove(path: Path, index: dict[str, int]) -> Any:
    """float32 (WORDS + 1, DIMENSIONS): zeros for padding, and for words without a vector."""
    import numpy as np

    vectors = np.zeros((WORDS + 1, DIMENSIONS), np.float32)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            if word in index:
                vectors[index[word]] = np.asarray(numbers, np.float32)
    return vectors


# ------------------------------------------------------------------------------------------------- comparing

SIDES: dict[str, tuple[str, Callable[[Path, Path, Path], None]]] = {
    "workshop": ("the AWS workshop's: 2 units, 2 epochs", workshop),
    "deeper": ("the same, 2 layers of 32 units", partial(workshop, layers=(32, 32))),
    "ours": ("the default here (bag)", ours),
}


def run_here(side: str, data: Path, vectors: Path) -> None:
    """One side, in this process; its figures are the last line of the output."""
    import keras  # noqa: F401  not what is compared
    import tensorflow  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        SIDES[side][1](data, Path(folder), vectors)
        print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu_begun]))


def run(side: str, data: Path, vectors: Path) -> Run:
    """One side, in a fresh process. Raises CalledProcessError with its output shown."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE), str(data), "--side", side, "--vectors", str(vectors)]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu_seconds = json.loads(process.stdout.splitlines()[-1])
    return Run(seconds, cpu_seconds, float(re.findall("val_acc=(.*?);", process.stdout)[-1]))


def compare(data: Path, runs: int, vectors: Path) -> None:
    """Prints the table: medians of `runs` turns."""
    found: dict[str, list[Run]] = {side: [] for side in SIDES}
    for turn in range(1, runs + 1):
        for side in SIDES:
            found[side].append(run(side, data, vectors))
            print(f"run {turn}/{runs}: {side}: {found[side][-1]}", file=sys.stderr, flush=True)
    middle = {
        side: Run(*(statistics.median(getattr(r, name) for r in done) for name in Run.__dataclass_fields__))
        for side, done in found.items()
    }
    print("\n| network | wall time, s | CPU time, s | validation accuracy |\n|---|---|---|---|")
    for side, (name, _) in SIDES.items():
        of = middle[side]
        print(f"| {name} | {of.seconds:.1f} | {of.cpu_seconds:.1f} | {of.accuracy:.4f} |")
    here, there = middle["ours"], middle["workshop"]
    print(
        f"| ratio of the last to the first | {here.seconds / there.seconds:.2f} "
        f"| {here.cpu_seconds / there.cpu_seconds:.2f} | {here.accuracy - there.accuracy:+.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help="a file in GloVe's format, 100 wide")
    given = parser.parse_args()
    data = given.data.resolve()
    table = data / "newsCorpora.csv" if data.is_dir() else data
    if not table.is_file():
        parser.error(f"there is no {table}")
    if given.side:
        run_here(given.side, data, given.vectors)
        return
    with tempfile.TemporaryDirectory() as folder:
        vectors = given.vectors or table.with_name(FILE)
        if not vectors.is_file():
            vectors = Path(folder, FILE)
            command = [sys.executable, "-m", "benchmarks.headline_vectors", str(table), str(vectors)]
            subprocess.run(command, check=True, cwd=HERE.parent.parent)  # its gigabyte ends with it
        compare(data, given.runs, vectors)


if __name__ == "__main__":
    main()
