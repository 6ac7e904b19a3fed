"""Parallel text → what fairseq trains on, as its prepare-iwslt14.sh does it:

    python -m handlers.translation.prepare FOLDER DESTINATION --source-lang de --target-lang en

FOLDER holds train.de and train.en, and may hold valid.de and valid.en. The words are Moses' (see text.py); pairs that
are too long or too unlike in length are left out; the pieces are learned on both sides of the training text; where
there is no validation text, every 23rd pair becomes it. `train` does the same with a channel of plain text.

All cores are used, and the same text gives the same bytes on any number of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container import log
from container.failure import JobError
from container.progress import say
from container.resources import cores
from handlers.translation import shims
from handlers.translation.preparing import cleaning, codes, corpus, parallel, prepared
from handlers.translation.preparing.corpus import Corpus, Direction, Pairs
from handlers.translation.preparing.prepared import Prepared
from handlers.translation.text import Bpe, Text

MERGES = 10_000
LINES_A_WORKER = 1000  # at least, where fairseq cuts a file among workers


@dataclass(frozen=True)
class Recipe:
    """How text is prepared."""

    merges: int = MERGES
    lowercase: bool = False
    joined: bool = False
    """Whether both languages get one dictionary, for networks that share their table of pieces."""
    workers: int = 1


@dataclass(frozen=True)
class Part:
    """What is trained on, or measured with: words with spaces between them, and the plain text that they came from."""

    plain: tuple[list[str], list[str]]
    words: tuple[list[str], list[str]]

    def take(self, numbers: Sequence[int]) -> Part:
        first, second = ([side[n] for n in numbers] for side in self.plain)
        third, fourth = ([side[n] for n in numbers] for side in self.words)
        return Part((first, second), (third, fourth))


def prepare(text: Corpus, destination: Path, recipe: Recipe) -> Prepared:
    """Makes the folder `destination`, beside its place first, so that there is never half of one. Raises JobError for
    text that cannot be trained on, and where `destination` exists."""
    if destination.exists():
        raise JobError(f"{destination} exists; give the name of a folder that is to be made")
    shims.install()
    building = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        _fill(building, text, recipe)
        building.rename(destination)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    found = prepared.find(sorted(destination.iterdir()), text.direction.source, text.direction.target)
    assert found
    return found


def _fill(folder: Path, text: Corpus, recipe: Recipe) -> None:
    train, valid, dropped = _parts(text, recipe)
    words = codes.count((*train.words,))
    codes.learn(words, recipe.merges, folder / prepared.CODES)
    longest = {name: _write_pieces(folder, name, part, text.direction, recipe) for name, part in _named(train, valid)}
    _write_plain(folder, valid, text.direction)
    _binarise(folder, text.direction, recipe, len(train.words[0]))
    facts = {
        "source": text.direction.source,
        "target": text.direction.target,
        "lowercase": recipe.lowercase,
        "train_lines": len(train.words[0]),
        "valid_lines": len(valid.words[0]),
        "train_megabytes": round(sum(len(line.encode()) + 1 for side in train.plain for line in side) / 1e6, 3),
        "left_out": dropped,
        "longest_source": longest["train"],
    }
    (folder / prepared.FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _named(train: Part, valid: Part) -> list[tuple[str, Part]]:
    return [("train", train), ("valid", valid)]


def _parts(text: Corpus, recipe: Recipe) -> tuple[Part, Part, dict[str, int]]:
    """What to train on, what to measure with, and how many pairs were left out for what reason."""
    whole = _tokenize("train", text.train.read(), text.direction, recipe)
    given = _tokenize("valid", text.valid.read(), text.direction, recipe) if text.valid else None
    kept = cleaning.clean(*whole.words)
    say(f"{text.train.source} and {text.train.target}: {kept}")
    numbers, held_out = (kept.pairs, []) if given else cleaning.split(kept.pairs)
    if not numbers or not (given or held_out):
        raise JobError(
            f"{text.train.source} and {text.train.target}: {kept}; that is too few to train on"
            + ("" if given else f", for every {cleaning.VALID_EVERY}rd is needed to measure with")
        )
    if given:
        _refuse_empty(given, (str(text.valid.source), str(text.valid.target)) if text.valid else ("", ""))
    return whole.take(numbers), given or whole.take(held_out), kept.dropped


def _tokenize(name: str, pairs: Pairs, direction: Direction, recipe: Recipe) -> Part:
    sides = []
    for language, lines in ((direction.source, pairs.source), (direction.target, pairs.target)):
        make = functools.partial(_tokenizer, language, recipe.lowercase)
        sides.append(parallel.transform(f"words of {name}.{language}", lines, make, recipe.workers))
    return Part((pairs.source, pairs.target), (sides[0], sides[1]))


def _tokenizer(language: str, lowercase: bool) -> parallel.Transform:
    return Text(language, lowercase).tokenize


def _refuse_empty(valid: Part, names: tuple[str, str]) -> None:
    """Validation text is taken whole, as its measure is that of the whole; so it must be whole."""
    for name, lines in zip(names, valid.words, strict=True):
        empty = [number for number, line in enumerate(lines, 1) if not line]
        if empty:
            raise JobError(f"{name}: these lines have no words: {corpus.numbers(empty)}; take them out of both files")


def _write_pieces(folder: Path, name: str, part: Part, direction: Direction, recipe: Recipe) -> int:
    """The text as pieces, for fairseq-preprocess; gives the number of pieces in the longest source sentence."""
    make = functools.partial(_cutter, folder / prepared.CODES)
    longest = 0
    for language, lines in ((direction.source, part.words[0]), (direction.target, part.words[1])):
        cut = parallel.transform(f"pieces of {name}.{language}", lines, make, recipe.workers)
        (folder / f"{name}.pieces.{language}").write_text("\n".join(cut) + "\n", encoding="utf-8", newline="\n")
        if language == direction.source:
            longest = max(line.count(" ") + 1 for line in cut)
    return longest


def _cutter(path: Path) -> parallel.Transform:
    return Bpe(path).apply


def _write_plain(folder: Path, valid: Part, direction: Direction) -> None:
    for language, lines in ((direction.source, valid.plain[0]), (direction.target, valid.plain[1])):
        (folder / f"valid.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _binarise(folder: Path, direction: Direction, recipe: Recipe, lines: int) -> None:
    """fairseq-preprocess, in this process."""
    from fairseq import options
    from fairseq_cli import preprocess

    say(f"binary text of {direction}")
    logging.getLogger("fairseq_cli.preprocess").setLevel(logging.WARNING)
    workers = max(1, min(recipe.workers, lines // LINES_A_WORKER))
    words = ["--source-lang", direction.source, "--target-lang", direction.target, "--destdir", str(folder)]
    words += ["--trainpref", str(folder / "train.pieces"), "--validpref", str(folder / "valid.pieces")]
    words += ["--joined-dictionary"] if recipe.joined else []
    preprocess.main(options.get_preprocessing_parser().parse_args([*words, "--workers", str(workers)]))
    for handler in list(preprocess.logger.handlers):  # its log names folders, and would differ from run to run
        preprocess.logger.removeHandler(handler)
        handler.close()
    for path in [folder / "preprocess.log", *folder.glob("*.pieces.*")]:
        path.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """The command. Gives the exit status."""
    log.configure()
    parser = argparse.ArgumentParser(prog="python -m handlers.translation.prepare", description=__doc__)
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
        made = prepare(_found(given), given.destination, _recipe(given))
    except JobError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    say(
        f"{made.folder}: {made.facts['train_lines']:,} pairs to train on, {made.facts['valid_lines']:,} to measure with"
    )
    return 0


def _recipe(given: Any) -> Recipe:
    return Recipe(given.bpe_merges, given.lowercase, given.joined_dictionary, given.workers)


def _found(given: Any) -> Corpus:
    if not given.folder.is_dir():
        raise JobError(f"there is no folder {given.folder}")
    files = sorted(path for path in given.folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return corpus.find(files, given.source_lang, given.target_lang, where=str(given.folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
