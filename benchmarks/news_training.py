"""The news classifier against the AWS workshop's network, from reading the file to the saved model:

    python -m benchmarks.news_training DATA [--runs 3]

DATA is newsCorpora.csv, or the folder that holds it (and may hold GloVe vectors, for the workshop's side).
Both sides run in turn, each time in a fresh process, on the same headlines and the same split. The clock
starts when Python and TensorFlow have been imported and stops when the model is on disk, for ours also the
pictures and the TensorBoard events.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
LABELS = {"b": 0, "t": 1, "e": 2, "m": 3}
WORDS, WIDTH, VECTOR = 10_000, 100, 100


@dataclass(frozen=True)
class Run:
    """seconds: wall time; cpu_seconds: of all threads; accuracy: on the validation fifth, a share of 1."""

    seconds: float
    cpu_seconds: float
    accuracy: float


# ------------------------------------------------------------------------------------------------------ ours


def ours(data: Path, folder: Path) -> None:
    """The handler's default configuration, as `train` calls it."""
    from container.job import TrainingJob
    from container.paths import Paths
    from handlers.news import NewsClassifier

    paths = Paths(folder)
    for place in (paths.config, paths.data, paths.model):
        place.mkdir(parents=True)
    (paths.data / "training").symlink_to(data if data.is_dir() else data.parent)
    paths.hyperparameters.write_text("{}")
    paths.input_data_config.write_text('{"training": {"TrainingInputMode": "File"}}')
    paths.resource_config.write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    NewsClassifier().train(TrainingJob.read(paths).declare(NewsClassifier.Hyperparameters))


# ------------------------------------------------------------------------------------------- the workshop's


def workshop(data: Path, folder: Path) -> None:
    """A frozen table of 100-wide vectors of the 10,000 most frequent words, headlines padded to 100 words,
    flattened; a dense layer of 2, softmax of 4; RMSprop, batches of 32, two epochs. As a user would write it."""
    import keras
    import numpy as np

    from handlers.news.data import split

    titles, labels = _read_lines(data / "newsCorpora.csv" if data.is_dir() else data)
    texts = [_normalise(title).split() for title in titles]
    index = _most_frequent(texts)
    rows = [[index[word] for word in text if word in index] for text in texts]
    padded = keras.utils.pad_sequences(rows, maxlen=WIDTH)
    targets = keras.utils.to_categorical(labels, len(LABELS))
    parts = split(len(titles))
    network = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            keras.layers.Embedding(WORDS, VECTOR, trainable=False),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="relu"),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    vectors = _glove(data.parent if data.is_file() else data, index)
    if vectors is not None:
        network.layers[0].set_weights([vectors])
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


def _normalise(title: str) -> str:
    """Lower case, without punctuation at the edges of words."""
    text = re.sub(r"\s\W+|\W+\s", " ", title.lower())
    return re.sub(r"\s+", " ", text)


def _most_frequent(texts: list[list[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        for word in text:
            counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts, key=lambda word: counts[word], reverse=True)
    return {word: number for number, word in enumerate(ranked[: WORDS - 1], 1)}


def _glove(folder: Path, index: dict[str, int]) -> Any:
    """The vectors from glove.6B.100d.txt where the folder has it; without, the table stays random."""
    import numpy as np

    path = folder / "glove.6B.100d.txt"
    if not path.exists():
        return None
    vectors = np.zeros((WORDS, VECTOR), np.float32)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            if word in index:
                vectors[index[word]] = np.asarray(numbers, np.float32)
    return vectors


# ------------------------------------------------------------------------------------------------- comparing

SIDES = {"ours": ours, "workshop": workshop}


def run_here(side: str, data: Path) -> None:
    """One side, in this process; its figures are the last line of the output."""
    import keras  # noqa: F401  not what is compared
    import tensorflow  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        SIDES[side](data, Path(folder))
        print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu_begun]))


def run(side: str, data: Path) -> Run:
    """One side, in a fresh process. Raises CalledProcessError with its output shown."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE), str(data), "--side", side]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu_seconds = json.loads(process.stdout.splitlines()[-1])
    return Run(seconds, cpu_seconds, float(re.findall("val_acc=(.*?);", process.stdout)[-1]))


def compare(data: Path, runs: int) -> None:
    """Prints the table: medians of `runs` turns."""
    found: dict[str, list[Run]] = {side: [] for side in SIDES}
    for turn in range(1, runs + 1):
        for side in SIDES:
            found[side].append(run(side, data))
            print(f"run {turn}/{runs}: {side}: {found[side][-1]}", file=sys.stderr, flush=True)
    middle = {
        side: Run(*(statistics.median(getattr(r, name) for r in done) for name in Run.__dataclass_fields__))
        for side, done in found.items()
    }
    print("\n| network | wall time, s | CPU time, s | validation accuracy |\n|---|---|---|---|")
    for side, name in (("workshop", "workshop's mlp, 2 epochs"), ("ours", "default (bag)")):
        of = middle[side]
        print(f"| {name} | {of.seconds:.1f} | {of.cpu_seconds:.1f} | {of.accuracy:.4f} |")
    here, there = middle["ours"], middle["workshop"]
    print(
        f"| ratio | {here.seconds / there.seconds:.2f} | {here.cpu_seconds / there.cpu_seconds:.2f} "
        f"| {here.accuracy - there.accuracy:+.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    data = given.data.resolve()
    if not (data / "newsCorpora.csv" if data.is_dir() else data).is_file():
        parser.error(f"there is no {data / 'newsCorpora.csv' if data.is_dir() else data}")
    if given.side:
        run_here(given.side, data)
    else:
        compare(data, given.runs)


if __name__ == "__main__":
    main()
