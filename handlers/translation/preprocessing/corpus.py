"""Parallel text as people bring it: two files of sentences, a line each, whose names end in their language.

    train.de  train.en      what to train on (any one pair of files will do, where there is only one)
    valid.de  valid.en      what to measure with; also val.* and dev.*; cut off the training text where missing
    codes                   the BPE codes to cut words by, or by which they were cut; learned where missing

Plain UTF-8, or the same in .gz. Standard library only.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.progress import say
from byo_container.handlers.translation.text import find_codes, uppermost

BOM = b"\xef\xbb\xbf"
PARTS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
SHOWN = 5  # lines that an error names
RIGHT = "it should be UTF-8 text, a sentence a line"


@dataclass(frozen=True)
class Direction:
    """From which language to which."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, as many of each; `names` are the files that they came from."""

    source: list[str]
    target: list[str]
    names: tuple[str, str]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Files:
    """The two files of one part of a corpus."""

    source: Path
    target: Path

    def read(self) -> Pairs:
        """Their sentences. Raises JobError that names file and line."""
        source, target = read_lines(self.source), read_lines(self.target)
        if len(source) != len(target):
            longer, shorter = (self.source, self.target) if len(source) > len(target) else (self.target, self.source)
            most, least = max(len(source), len(target)), min(len(source), len(target))
            raise JobError(
                f"{longer} has {most:,} lines and {shorter} has {least:,}: lines {least + 1:,} to {most:,} of the "
                "first have no partner; line N of both should say the same"
            )
        for path, lines in ((self.source, source), (self.target, target)):
            if not any(line.strip() for line in lines):
                raise JobError(f"{path} has no text, only empty lines; {RIGHT}")
        return Pairs(source, target, (str(self.source), str(self.target)))


@dataclass(frozen=True)
class Corpus:
    """The files of a folder with parallel text."""

    direction: Direction
    train: Files
    valid: Files | None
    codes: Path | None = None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, unpacked where its name ends in .gz. Raises JobError that names the line."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise JobError(f"{path} cannot be read: {error}; it may have been cut off") from None
    if not data:
        raise JobError(f"{path} is empty; {RIGHT}")
    if data.startswith(BOM):
        raise JobError(
            f"{path}, line 1, begins with a byte order mark (EF BB BF), which would become a part of the first word; "
            "save it as UTF-8 without one"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise JobError(f"{path}, line {line:,}, byte {column} is not UTF-8; {RIGHT}") from None
    lines = text.split("\n")  # splitlines would also split at signs that stand inside of sentences
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def find(
    files: Sequence[Path], source: str | None, target: str | None, architecture: str | None = None, where: str = ""
) -> Corpus:
    """The corpus among `files`. Where the languages are not given, the name of the architecture may tell the
    direction (fconv_iwslt_de_en). `where` names the folder in errors. Raises JobError."""
    texts = {path: language for path in files if (language := language_of(path))}
    names = ", ".join(path.name for path in files[:10]) or "no file"
    languages = sorted(set(texts.values()))
    right = "two files of sentences whose names end in their languages, such as train.de and train.en"
    if not texts:
        raise JobError(f"{where} needs {right}; it holds {names}")
    if len(languages) == 1:
        raise JobError(f"{where} has text in {languages[0]!r} only; it needs {right}, and holds {names}")
    direction = direction_of(languages, source, target, architecture, where)
    for language in (direction.source, direction.target):
        if language not in languages:
            raise JobError(f"{where} has no text in {language!r}; it needs {right}, and holds {names}")
    train, valid = (_part(texts, direction, part) for part in ("train", "valid"))
    train = train or _only_pair(texts, direction)
    if train is None:
        raise JobError(f"{where} needs {right}, with the same name before the ending; it holds {names}")
    return Corpus(direction, train, valid, find_codes(files))


def language_of(path: Path) -> str | None:
    """The language in which a file's name ends: `de` of train.de and train.de.gz."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    language = suffix.removeprefix(".")
    return language if LANGUAGE.fullmatch(language) and language not in ("txt", "bin", "idx", "md") else None


def direction_of(
    languages: Sequence[str], source: str | None, target: str | None, architecture: str | None, where: str
) -> Direction:
    """From which of `languages` to which. Raises JobError where that is not said."""
    if source and target:
        if source == target:
            raise JobError(f"source_lang and target_lang are both {source!r}; they must be two languages")
        return Direction(source, target)
    others = [language for language in languages if language not in (source, target)]
    if (source or target) and len(others) == 1:
        return Direction(source or others[0], target or others[0])
    named = re.search(r"_([a-z]{2})_([a-z]{2})(_|$)", architecture or "")
    if not (source or target) and named and {named[1], named[2]} <= set(languages):
        return Direction(named[1], named[2])
    found = ", ".join(languages) or "none"
    raise JobError(
        f"the direction is missing: set the hyperparameters source_lang and target_lang, such as de and en; {where} "
        f"has text in {found}"
    )


def _part(texts: dict[Path, str], direction: Direction, part: str) -> Files | None:
    """The files of a part, by what their names begin with."""
    found: dict[str, list[Path]] = {direction.source: [], direction.target: []}
    for path, language in texts.items():
        if language in found and _stem(path).split(".")[0].split("_")[0].split("-")[0].lower() in PARTS[part]:
            found[language].append(path)
    for language, paths in found.items():
        upper = uppermost(paths)  # fairseq's scripts leave tmp/train.de beside train.de
        for path in sorted(set(paths) - set(upper)):
            say(f"{path} is left aside: {upper[0]} is in a folder above it")
        paths[:] = upper
        if len(paths) > 1:
            raise JobError(
                f"{part} is there more than once for {language!r}: {', '.join(str(path) for path in paths[:SHOWN])}; "
                "leave one of them, or put them together"
            )
    sources, targets = found[direction.source], found[direction.target]
    if bool(sources) != bool(targets):
        there, lacking = (sources[0], direction.target) if sources else (targets[0], direction.source)
        raise JobError(f"{there} has no partner in {lacking!r}; there should be {_partner_name(there, lacking)}")
    return Files(sources[0], targets[0]) if sources else None


def _only_pair(texts: dict[Path, str], direction: Direction) -> Files | None:
    stems: dict[str, dict[str, Path]] = {}
    for path, language in texts.items():
        if language in (direction.source, direction.target):
            stems.setdefault(_stem(path), {})[language] = path
    pairs = [pair for pair in stems.values() if len(pair) == 2]
    return Files(pairs[0][direction.source], pairs[0][direction.target]) if len(pairs) == 1 else None


def _stem(path: Path) -> str:
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem


def _partner_name(path: Path, language: str) -> str:
    return f"{_stem(path)}.{language}{path.suffix if path.suffix == '.gz' else ''}"


def numbers(lines: Iterable[int]) -> str:
    """The first line numbers, for people: `3, 17, 29 and 12 more`."""
    found = list(lines)
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(f"{line:,}" for line in found[:SHOWN]) + more
