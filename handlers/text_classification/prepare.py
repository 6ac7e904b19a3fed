"""Raw text → the channels train, validation and test, as data sets of save_to_disk:

    python -m byo_container.handlers.text_classification.prepare SOURCE DESTINATION [--model MODEL [--pad]]

SOURCE holds train, test and at times val: files such as train.txt (lines of text;label), train.csv or train.jsonl, or
folders of them. With --model the texts are tokenised by the tokenizer of that model, and with --pad padded to its
maximum, as SageMaker's sample does; neither is needed, for `train` tokenises texts itself and pads in buckets.

Labels become a ClassLabel with names. Those of the data set `emotion` have the order that they have on the hub.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import disk_errors_explained
from byo_container.container.log import configure
from byo_container.container.progress import Progress, say
from byo_container.handlers.text_classification import model_parts, pretrained
from byo_container.handlers.text_classification.preprocessing import labels, reading
from byo_container.handlers.text_classification.preprocessing.rows import LABEL, TEXT, TOKENS, Rows
from byo_container.handlers.text_classification.preprocessing.saved_datasets import SPLITS

if TYPE_CHECKING:
    from datasets import Dataset

EMOTIONS = ("sadness", "joy", "love", "anger", "fear", "surprise")
LONGEST = 512
BATCH = 1000


@dataclass(frozen=True)
class PrepareOptions:
    """How texts are tokenised; not at all without a model."""

    model: str | None = None
    max_length: int | None = None
    pad: bool = False


def prepare(source: Path, destination: Path, options: PrepareOptions) -> dict[str, int]:
    """Creates the folder `destination`, whole or not at all; gives the rows of each of its data sets. Raises JobError
    for texts that cannot be trained on, and where `destination` exists."""
    if destination.exists():
        raise JobError(f"{destination} exists; give the name of a folder that is to be made")
    if options.pad and not options.model:
        raise JobError("--pad needs --model, whose tokenizer makes what is padded")
    parts = {channel: reading.read_files(files, channel) for channel, files in find(source).items()}
    tokenizer = _load_tokenizer(options.model) if options.model else None
    data = _labelled(parts)
    building = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(building, ignore_errors=True)  # of a run that was killed
    try:
        with disk_errors_explained(destination.parent):
            building.mkdir(parents=True)
            for channel, part in data.items():
                made = _tokenised(part, tokenizer, channel, options) if tokenizer else part
                made.save_to_disk(str(building / channel))
            building.rename(destination)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return {channel: len(part) for channel, part in data.items()}


def find(source: Path) -> dict[str, list[Path]]:
    """The files of each split in `source`, by the channel that it becomes. Raises JobError where train is missing."""
    if not source.is_dir():
        raise JobError(f"{source} is no folder; it should hold files such as train.txt, val.txt and test.txt")
    entries = sorted(path for path in source.iterdir() if not path.name.startswith("."))
    entries = [path for path in entries if path.is_file() or path.is_dir()]  # a pipe would be waited for
    found = {}
    for channel, names in SPLITS.items():
        of_split = [path for path in entries if path.name.lower().split(".")[0] in names]
        if len(of_split) > 1:
            raise JobError(f"{source} has {channel} several times: {', '.join(map(str, of_split))}; leave one")
        if of_split:
            path = of_split[0]
            found[channel] = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    if "train" not in found:
        there = ", ".join(path.name for path in entries[:10]) or "nothing"
        raise JobError(f"{source} has no train, such as train.txt of lines text;label; it holds {there}")
    return found


def _labelled(parts: Mapping[str, Rows]) -> dict[str, Dataset]:
    """The columns text and label of each channel."""
    from datasets import ClassLabel, Dataset, Features, Value

    names, numbers = labels.number(parts, say)
    order = EMOTIONS if set(names) == set(EMOTIONS) else names
    at = [order.index(name) for name in names]
    features = Features({TEXT: Value("string"), LABEL: ClassLabel(names=list(order))})
    made = {}
    for channel, rows in parts.items():
        if TEXT not in rows.data.column_names:
            raise JobError(f"channel {channel!r}: {rows.place(0)} is tokenised already; texts are needed here")
        columns = {TEXT: list(rows.data[TEXT]), LABEL: [at[number] for number in numbers[channel]]}
        made[channel] = Dataset.from_dict(columns, features=features)
    return made


def _load_tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    offline = not pretrained.is_folder(model) and not pretrained.hub_is_reachable()
    try:
        with pretrained.cache_alone(offline):  # the hub's client would retry for minutes
            return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # of every kind: each file has a reader of its own
        found = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        reason = pretrained.UNREACHABLE if offline else found
        raise JobError(
            f"the tokenizer of {model!r} cannot be loaded: {reason}; --model should be a folder with tokenizer.json or "
            "vocab.txt, or a name of the hub where that can be reached"
        ) from error


def _longest(tokenizer: Any, options: PrepareOptions) -> int:
    """The tokens of a text, at most. Raises JobError."""
    limit = model_parts.whole(tokenizer.model_max_length)
    longest = min(LONGEST if options.max_length is None else options.max_length, limit)
    if longest <= (special := tokenizer.num_special_tokens_to_add()):
        raise JobError(f"--max-length is {longest}, and {special} tokens are special; it must be above {special}")
    return longest


def _tokenised(data: Dataset, tokenizer: Any, channel: str, options: PrepareOptions) -> Dataset:
    """With the columns input_ids and attention_mask too."""
    from datasets import Features, List, Value

    longest = _longest(tokenizer, options)
    how = {"truncation": True, "max_length": longest, "padding": "max_length" if options.pad else False}
    kinds = {TOKENS: List(Value("int32")), "attention_mask": List(Value("int8"))}
    with Progress(f"tokenizing {channel}", len(data), "texts") as progress:

        def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
            made = tokenizer(rows[TEXT], **how)
            progress.advance(len(rows[TEXT]))
            return {name: made[name] for name in kinds}

        features = Features({**data.features, **kinds})
        made: Dataset = data.map(encode, batched=True, batch_size=BATCH, keep_in_memory=True, features=features)
    return made


def main(arguments: Sequence[str]) -> int:
    """The command. Gives the exit status."""
    configure()
    parser = argparse.ArgumentParser(
        prog="python -m byo_container.handlers.text_classification.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("destination", type=Path, metavar="DESTINATION")
    parser.add_argument("--model", help="tokenises by the tokenizer of this model: a folder, or a name of the hub")
    parser.add_argument("--max-length", type=int, help=f"tokens of a text, at most (default {LONGEST})")
    parser.add_argument("--pad", action="store_true", help="pads every row to that, as the sample does")
    given = parser.parse_args(arguments)
    try:
        from byo_container.handlers.text_classification.training import quiet

        quiet.silence_libraries()
        rows = prepare(given.source, given.destination, PrepareOptions(given.model, given.max_length, given.pad))
    except JobError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    for channel, count in rows.items():
        say(f"wrote {count:,} rows to {given.destination / channel}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
