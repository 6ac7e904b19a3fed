"""Training translation by `train` against fairseq's own trainer, and two hosts against one.

    python -m benchmarks.translation_training FOLDER [own|hosts ...] [--rounds 4] [--updates 50]

FOLDER holds train.de and train.en (and valid.de, valid.en), plain or .gz, such as Multi30k's. Both sides of `own`
train the sample's network with the sample's flags on the same prepared text, at the same moment, each on a core of its
own with all that it starts, the cores changed from round to round: what disturbs the machine disturbs both. fairseq's
trainer is its own program, with no more than the shims without which it does not start. The words per second are those
that fairseq itself counts between two lines of its log, the first ones left out. `hosts` needs root, for its hosts are
network namespaces (tests/support/hosts.py), of one core each; it wants a machine where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.report import table
from benchmarks.translation_quality import read_lines
from byo_container.container.resources import cores
from byo_container.handlers.translation.prepare import PrepareOptions, prepare
from byo_container.handlers.translation.preprocessing import corpus
from tests.support.hosts import make_hosts
from tests.support.tree import ONE_HOST, TRAIN, Tree, make_tree

FLAGS = {
    "arch": "fconv_iwslt_de_en",
    "lr": "0.25",
    "clip_norm": "0.1",
    "dropout": "0.2",
    "max_tokens": "4000",
    "criterion": "label_smoothed_cross_entropy",
    "label_smoothing": "0.1",
    "lr_scheduler": "fixed",
    "force_anneal": "200",
}
THEIRS = {"optimizer": "nag", "cpu": "", "no_epoch_checkpoints": "", "log_format": "simple"}
INTERVAL = 10  # updates from line to line
WARM_UP = 1  # lines left out
EPOCHS = 2  # of `hosts`
PAIRS = 240  # in a batch of such sentences, about
OWN = """
import sys
from byo_container.handlers.translation import compat
compat.install()
import logging
for name in ("fairseq", "fairseq_cli"):
    logging.getLogger(name).setLevel(logging.INFO)
from fairseq_cli.train import cli_main
cli_main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", nargs="*", choices=["own", "hosts", []])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--updates", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        files = sorted(path for path in options.folder.iterdir() if path.is_file())
        some = first_lines(files, options.updates // EPOCHS * PAIRS, Path(place, "some"))
        for name, benchmark, used in (("own", own, files), ("hosts", hosts, some)):
            if not options.what or name in options.what:
                text = Path(place, f"text of {name}")
                prepare(corpus.find(used, "de", "en", where=str(options.folder)), text, PrepareOptions(workers=cores()))
                print(benchmark(text, Path(place), options.rounds, options.updates), flush=True)
    load = os.getloadavg()[0]
    print(
        f"\nMedians of {options.rounds} rounds of {options.updates} updates, {os.cpu_count()} cores, load {load:.1f}."
    )


def own(text: Path, place: Path, rounds: int, updates: int) -> str:
    """Words per second of fairseq's trainer, and of `train`."""
    pairs = []
    for number in range(rounds):
        core, other = ("0", "1") if number % 2 == 0 else ("1", "0")
        with ThreadPoolExecutor(2) as pool:
            theirs = pool.submit(by_fairseq, text, place, updates, core)
            ours = pool.submit(by_train, text, place, updates, other)
            pairs.append((theirs.result(), ours.result()))
        print(f"round {number + 1}: {pairs[-1]}", file=sys.stderr)
    mean = geometric_mean([ours / theirs for theirs, ours in pairs])
    words = [f"{median(column):,.0f}" for column in zip(*pairs, strict=True)]
    head = ["words per second, on one core each", "fairseq's own trainer", "`train`", "ours ÷ it (target 0.98)"]
    return table(head, [["fconv_iwslt_de_en", *words, f"{mean:.3f}"]])


def alone(core: str) -> list[str]:
    """In front of a command that is to have one core."""
    return ["env", "OMP_NUM_THREADS=1", "taskset", "-c", core]


def by_fairseq(text: Path, place: Path, updates: int, core: str) -> float:
    flags = {**FLAGS, **THEIRS, "max_update": str(updates), "log_interval": str(INTERVAL)}
    words = [f"--{name.replace('_', '-')}" + (f"={value}" if value else "") for name, value in flags.items()]
    words += ["--source-lang=de", "--target-lang=en", "--disable-validation", f"--save-dir={fresh(place / 'theirs')}"]
    command = [*alone(core), sys.executable, "-c", OWN, str(text), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return speed_in(done.stdout + done.stderr, r"\bwps=([\d.]+)")


def by_train(text: Path, place: Path, updates: int, core: str) -> float:
    root = fresh(place / "ours")
    tree = tree_of(root, text, updates)
    finished = tree.finish(tree.start(before=alone(core)), 3600)
    if finished.status:
        raise RuntimeError(finished.err[-3000:])
    return speed_in(finished.out, r"words_per_second=([\d.]+);")


def tree_of(root: Path, text: Path, updates: int) -> Tree:
    settings = settings_for(updates)
    tree = make_tree(root, hyperparameters=settings, inputs={"training": {}}, resources=ONE_HOST)
    shutil.copytree(text, tree.paths.data / "training")
    return tree


def settings_for(updates: int) -> dict[str, str]:
    """The same for `train`: what the others need to say is its default."""
    more = {"max_update": updates, "log_interval": INTERVAL, "disable_validation": "true"}
    return {"model_handler": "translation", **FLAGS, **{name: str(value) for name, value in more.items()}}


def speed_in(log: str, pattern: str) -> float:
    found = [float(number) for number in re.findall(pattern, log)][WARM_UP:]
    if not found:
        raise RuntimeError(f"no speed in the log:\n{log[-3000:]}")
    return median(found)


def hosts(text: Path, place: Path, rounds: int, updates: int) -> str:
    """Words per second on one host of one core, and on two, which train on the same text: twice all of it, so that it
    makes about so many updates on one host. Batches differ in how much of them is padding."""
    pairs = [(on_hosts(1, text, place), on_hosts(2, text, place)) for _ in range(rounds)]
    mean = geometric_mean([two / one for one, two in pairs])
    words = [f"{median(column):,.0f}" for column in zip(*pairs, strict=True)]
    head = ["words per second, hosts of one core", "one", "two", "times as fast (target 1.8)"]
    return table(head, [["fconv_iwslt_de_en, torchrun", *words, f"{mean:.2f}"]])


def on_hosts(count: int, text: Path, place: Path) -> float:
    folder = fresh(place / "hosts")
    settings = {**settings_for(0), "max_epoch": str(EPOCHS)}
    with make_hosts(count, folder, hyperparameters=settings, inputs={"training": {}}) as made:
        for core, host in enumerate(made.all):
            shutil.copytree(text, host.tree.paths.data / "training")
            host.start(*alone(str(core)), str(TRAIN))
        if any(made.wait(3600)):
            raise RuntimeError(made[1].log[-3000:])
        figures = json.loads((made[1].tree.paths.output_data / "summary.json").read_text())
        print(f"{count} hosts: {figures}", file=sys.stderr)
        return float(figures["words_per_second"])


def first_lines(files: list[Path], count: int, folder: Path) -> list[Path]:
    """The beginnings of parallel text."""
    fresh(folder)
    for path in files:
        lines = read_lines(path)[:count]
        (folder / path.name.removesuffix(".gz")).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sorted(folder.iterdir())


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
