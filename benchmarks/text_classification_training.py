"""Fine-tuning a classifier: accuracy through `train`; samples a second against the bare Trainer and the sample's way.

    python -m benchmarks.text_classification_training DATA MODEL [accuracy|speed|padding ...] [--rounds 3] [--rows 2400]

DATA holds train.txt, val.txt and test.txt, a `text;label` a line, such as emotion's; MODEL is a pretrained encoder's
folder. `accuracy` is one job through `train`, on all rows (--accuracy-rows for fewer), with its test metrics.
`speed` trains on --rows rows, each side in a process of its own, in turn: `train`, the Trainer by itself with the same
arguments, collator and batches, `train` with the model compiled, and the sample's script, which pads every row to 512
tokens. One clock (step_clock.py) counts from the end of one step to the end of a later one, the first ones left out.
`padding` counts the tokens of an epoch by each way of making batches; it trains nothing.
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
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from benchmarks.processes import BenchmarkError
from benchmarks.report import table
from byo_container.handlers.text_classification.preprocessing.padding import BUCKET, bucket_of
from tests.support.tree import TRAIN, Tree, make_tree

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}
BATCH = 24
LONGEST = 512
FEW = 64  # rows to validate with where speed is measured
WARM_UP = 5  # steps left out
TARGETS = {"bare": "0.98", "padded": "4"}


@dataclass(frozen=True)
class Side:
    """One row of the table. `script` is what bare_trainer.py is told; without it `train` runs."""

    label: str
    hyperparameters: dict[str, str] = field(default_factory=dict)
    script: str | None = None


SIDES = {
    "train": Side("byo-container: `train`", {"compile": "false"}),
    "bare": Side("the Trainer by itself, same arguments, collator and batches", {"compile": "false"}, "same"),
    "compiled": Side("`train`, compiled", {"compile": "true"}),
    "padded": Side("the sample's way: every row padded to 512", {"compile": "false"}, "padded"),
}


def main() -> None:
    options = arguments()
    for name, benchmark in (("padding", padding), ("speed", speed), ("accuracy", accuracy)):
        if not options.what or name in options.what:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
                print(benchmark(Path(place), options) + "\n", flush=True)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("what", nargs="*", choices=["accuracy", "speed", "padding", []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2400, help="to train on where speed is measured")
    parser.add_argument("--padded-steps", type=int, default=4, help="of the sample's way, beside the warm-up's one")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SIDES), metavar=",".join(SIDES))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--accuracy-rows", type=int, default=None, metavar="ROWS", help="to train on; all")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter of all jobs")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="where the trained model is copied to")
    return parser.parse_args()


def job(root: Path, options: argparse.Namespace, rows: dict[str, int | None], **chosen: object) -> Tree:
    """/opt/ml with the first lines of each file and these hyperparameters."""
    lines = {name: (options.data / file).read_text("utf-8").splitlines() for name, file in CHANNELS.items()}
    channels = {name: {CHANNELS[name]: "\n".join(lines[name][:count]) + "\n"} for name, count in rows.items()}
    told = dict(one.split("=", 1) for one in options.set)
    settings = {"model_id": str(options.model.resolve()), "train_batch_size": str(BATCH)}
    settings |= {name: str(value) for name, value in chosen.items()} | told
    return make_tree(root, hyperparameters=settings, channels=channels)


# --- accuracy -----------------------------------------------------------------------------------------------------


def accuracy(place: Path, options: argparse.Namespace) -> str:
    """One job on all rows. Its log goes to standard error."""
    rows = {"train": options.accuracy_rows, "validation": None, "test": None}
    tree = job(place / "job", options, rows, epochs=options.epochs)
    began = time.perf_counter()
    log = follow([str(TRAIN)], {**os.environ, **environment(tree), "MODEL_HANDLER": "text_classification"})
    minutes = (time.perf_counter() - began) / 60
    found = re.findall(r"test_accuracy=([\d.]+)", log)
    if not found:
        raise BenchmarkError("no test_accuracy in the log of `train`")
    if options.save:
        shutil.copytree(tree.paths.model, options.save, dirs_exist_ok=True)
    used = options.accuracy_rows or "all"
    head = ["", "epochs", "rows", "minutes", "accuracy on test", "target"]
    settings = ", ".join(options.set) or "defaults"
    row = [f"`train`, {settings}", options.epochs, used, f"{minutes:.1f}", f"{float(found[-1]):.4f}", "0.925"]
    return table(head, [row])


def follow(argv: Sequence[str], env: dict[str, str]) -> str:
    """Runs it, and shows its output as it comes: the output. BenchmarkError where it fails."""
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        print(line, end="", file=sys.stderr, flush=True)
    if process.wait():
        raise BenchmarkError(f"{Path(argv[0]).name} ended with status {process.returncode}")
    return "".join(lines)


# --- speed --------------------------------------------------------------------------------------------------------


def speed(place: Path, options: argparse.Namespace) -> str:
    rates: dict[str, list[float]] = {name: [] for name in options.only}
    for number in range(1, options.rounds + 1):
        order = options.only if number % 2 else options.only[::-1]
        for name in order:
            rates[name].append(measure(place / f"{name} {number}", SIDES[name], options))
            print(f"round {number}  {name:<10}{rates[name][-1]:8.1f} samples/s", file=sys.stderr, flush=True)
    rows = []
    for name, seen in rates.items():
        mine = rates.get("train") if name != "train" else None
        ratio = f"{median(ours / its for ours, its in zip(mine, seen, strict=True)):.3f}" if mine else ""
        rows.append([SIDES[name].label, f"{median(seen):.1f}", ratio, TARGETS.get(name, "")])
    how = f"Batches of {BATCH}, {options.rows:,} rows, one epoch; medians of {options.rounds} rounds, in turn."
    return f"{table(['', 'samples/s', '`train` ÷ it', 'target'], rows)}\n\n{how}"


def measure(root: Path, side: Side, options: argparse.Namespace) -> float:
    """Samples a second of one run. BenchmarkError with the end of its output where it fails."""
    chosen: dict[str, object] = {"epochs": 1, "int8": "false", **side.hyperparameters}
    if side.script == "padded":
        chosen["max_steps"] = options.padded_steps + 1
    tree = job(root, options, {"train": options.rows, "validation": FEW}, **chosen)
    clock = root / "clock.json"
    env = {**os.environ, **environment(tree), "STEP_CLOCK": str(clock), "MODEL_HANDLER": "step_clock:Clocked"}
    argv = [str(TRAIN)]
    if side.script:
        argv = [sys.executable, "-m", "benchmarks.peers.bare_trainer", side.script]
    ran = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode or not clock.exists():
        raise BenchmarkError(f"{side.label}: status {ran.returncode}\n{(ran.stdout + ran.stderr)[-3000:]}")
    ends: list[float] = json.loads(clock.read_text())
    ends = ends[1 if side.script == "padded" else WARM_UP :]
    return BATCH * (len(ends) - 1) / (ends[-1] - ends[0])


def environment(tree: Tree) -> dict[str, str]:
    return {"SAGEMAKER_BASE_DIR": str(tree.root), "PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT}"}


# --- padding ------------------------------------------------------------------------------------------------------


def padding(place: Path, options: argparse.Namespace) -> str:
    """Tokens of an epoch by each way of making batches of the whole file."""
    lengths = token_lengths(options)
    ways = {
        "none at all: the tokens themselves": [[length] for length in lengths],
        "every row to 512": [[LONGEST]] * len(lengths),
        "the longest of a random batch": padded_widths(in_random_order(lengths), bucket=1),
        f"the same, in buckets of {BUCKET}": padded_widths(in_random_order(lengths), BUCKET),
        f"rows of similar length, in buckets of {BUCKET}": padded_widths(by_length(lengths), BUCKET),
    }
    whole = len(lengths) * LONGEST
    rows = []
    for name, batches in ways.items():
        tokens = sum(map(sum, batches))
        widths = len({width for batch in batches for width in batch}) if len(batches) < len(lengths) else ""
        rows.append([name, f"{tokens:,}", f"{tokens / len(lengths):.1f}", f"{whole / tokens:.1f}", widths])
    head = ["padding", "tokens of an epoch", "for each row", "512 ÷ it", "widths"]
    return f"{table(head, rows)}\n\n{len(lengths):,} rows, batches of {BATCH}, mean {mean(lengths):.1f} tokens."


def token_lengths(options: argparse.Namespace) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    texts = [line.rsplit(";", 1)[0] for line in (options.data / CHANNELS["train"]).read_text("utf-8").splitlines()]
    return [len(ids) for ids in tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]]


def in_random_order(lengths: list[int]) -> list[int]:
    import torch

    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0)).tolist()
    return [lengths[index] for index in order]


def by_length(lengths: list[int]) -> list[int]:
    """In the order in which the handler trains."""
    from byo_container.handlers.text_classification.training.trainer import EpochSampler

    return [lengths[index] for index in EpochSampler(BATCH, lengths, seed=0)]


def padded_widths(lengths: list[int], bucket: int) -> list[list[int]]:
    """For each batch the width of each of its rows."""
    batches = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
    return [[bucket_of(max(batch), bucket, LONGEST)] * len(batch) for batch in batches]


if __name__ == "__main__":
    main()
