"""Parallel text → what fairseq trains on, as its prepare-iwslt14.sh does it:

    python -m byo_container.handlers.translation.prepare FOLDER DESTINATION --source-lang de --target-lang en

FOLDER holds train.de and train.en, and may hold valid.de and valid.en. Words are Moses' (see text.py). Pairs that
are too long, or too different in length, are left out. BPE is learned on both sides of the training text. Without
validation text every 23rd pair is split off. Text that was tokenised or segmented before is used as it is (see
preprocessing/pretokenized.py). `train` does the same with a channel of text.

It uses all cores; the result does not depend on their number.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.log import configure
from byo_container.container.progress import say
from byo_container.container.resources import cores
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.preprocessing import codes, corpus, parallel, prepared, tokenizing
from byo_container.handlers.translation.preprocessing.corpus import Corpus, Direction
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.preprocessing.tokenizing import Part, Tokenized
from byo_container.handlers.translation.text import CODES, Bpe

MERGES = 10_000
MIN_LINES_PER_WORKER = 1000  # where fairseq splits a file among workers


@dataclass(frozen=True)
class PrepareOptions:
    """How text is prepared."""

    merges: int = MERGES
    lowercase: bool = False
    joined: bool = False
    """Whether both languages get one dictionary, for models that share their embedding table."""
    workers: int = 1


def prepare(text: Corpus, destination: Path, options: PrepareOptions) -> PreparedText:
    """Creates the folder `destination` atomically. Raises JobError for text that cannot be trained on, and where
    `destination` exists."""
    if destination.exists():
        raise JobError(f"{destination} exists; give the name of a folder that is to be made")
    compat.install()
    building = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        _fill(building, text, options)
        building.rename(destination)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    made = prepared.find(sorted(destination.iterdir()), text.direction.source, text.direction.target)
    assert made
    return made


def _fill(folder: Path, text: Corpus, options: PrepareOptions) -> None:
    words = tokenizing.tokenize(text, options.lowercase, options.workers)
    parts = {"train": words.train, "valid": words.valid}
    _write_codes(folder / CODES, text, words, options)
    tokens = {name: _segment(folder / CODES, name, part, words.uses_bpe, options) for name, part in parts.items()}
    for name, sides in tokens.items():
        _write(folder, f"{name}.pieces", text.direction, sides)
    _write(folder, "valid", text.direction, (words.valid.source.plain(), words.valid.target.plain()))
    _binarise(folder, text.direction, options, len(words.train.source.lines))
    facts = {
        "source": text.direction.source,
        "target": text.direction.target,
        "lowercase": words.lowercase,
        "conventions": asdict(words.train.source.conventions),
        "train_lines": len(words.train.source.lines),
        "valid_lines": len(words.valid.source.lines),
        "train_megabytes": round(sum(side.size() for side in words.train.sides) / 1e6, 3),
        "left_out": words.dropped,
        "longest_source": max(line.count(" ") + 1 for line in tokens["train"][0]),
    }
    (folder / prepared.FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_codes(path: Path, text: Corpus, words: Tokenized, options: PrepareOptions) -> None:
    """Writes the codes that came with the text, or else learns them."""
    if text.codes:
        if not words.uses_bpe:
            say(f"words are cut by {text.codes}; none are learned")
        shutil.copyfile(text.codes, path)
    else:
        codes.learn(codes.count(side.tokens for side in words.train.sides), options.merges, path)


def _segment(path: Path, name: str, part: Part, uses_bpe: bool, options: PrepareOptions) -> tuple[list[str], list[str]]:
    """The subword tokens of both sides."""
    if uses_bpe:
        return part.source.tokens, part.target.tokens
    make = functools.partial(_bpe_function, path)
    source, target = (
        parallel.transform(f"subword tokens of {name}.{side.language}", side.tokens, make, options.workers)
        for side in part.sides
    )
    return source, target


def _bpe_function(path: Path) -> parallel.Transform:
    return Bpe(path).apply


def _write(folder: Path, name: str, direction: Direction, sides: tuple[list[str], list[str]]) -> None:
    for language, lines in zip((direction.source, direction.target), sides, strict=True):
        (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _binarise(folder: Path, direction: Direction, options: PrepareOptions, lines: int) -> None:
    """fairseq-preprocess, in this process."""
    from fairseq import options as fairseq_options
    from fairseq_cli import preprocess

    say(f"binary text of {direction}")
    logging.getLogger("fairseq_cli.preprocess").setLevel(logging.WARNING)
    workers = max(1, min(options.workers, lines // MIN_LINES_PER_WORKER))
    words = ["--source-lang", direction.source, "--target-lang", direction.target, "--destdir", str(folder)]
    words += ["--trainpref", str(folder / "train.pieces"), "--validpref", str(folder / "valid.pieces")]
    words += ["--joined-dictionary"] if options.joined else []
    preprocess.main(fairseq_options.get_preprocessing_parser().parse_args([*words, "--workers", str(workers)]))
    for handler in list(preprocess.logger.handlers):  # its log names folders, so that it would differ from run to run
        preprocess.logger.removeHandler(handler)
        handler.close()
    for path in [folder / "preprocess.log", *folder.glob("*.pieces.*")]:
        path.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """The command. Gives the exit status."""
    configure()
    parser = argparse.ArgumentParser(prog="python -m byo_container.handlers.translation.prepare", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--source-lang")
    parser.add_argument("--target-lang")
    parser.add_argument("--bpe-merges", type=int, default=MERGES)
    parser.add_argument("--lowercase", action="store_true")
    parser.add_argument("--joined-dictionary", action="store_true", help="one for both languages")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (default: one a core)")
    given = parser.parse_args(arguments)
    try:
        made = prepare(_corpus(given), given.destination, _options(given))
    except JobError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    say(
        f"{made.folder}: {made.facts['train_lines']:,} pairs to train on, {made.facts['valid_lines']:,} to measure with"
    )
    return 0


def _options(given: Any) -> PrepareOptions:
    return PrepareOptions(given.bpe_merges, given.lowercase, given.joined_dictionary, given.workers)


def _corpus(given: Any) -> Corpus:
    if not given.folder.is_dir():
        raise JobError(f"there is no folder {given.folder}")
    files = sorted(path for path in given.folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return corpus.find(files, given.source_lang, given.target_lang, where=str(given.folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
