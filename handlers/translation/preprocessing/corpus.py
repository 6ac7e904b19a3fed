"""Parallel text in plain form: two files with a sentence in each line, with names that end in their language.

    train.de  train.en      for training (a single pair of files may have any name)
    valid.de  valid.en      for validation; also val.* and dev.*; split off the training text where missing
    codes                   the BPE codes, to be used or already applied; learned where missing

UTF-8, plain or in .gz. Standard library only.
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
from byo_container.handlers.translation.text import find_codes, topmost

BOM = b"\xef\xbb\xbf"
PARTS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
MAX_LISTED = 5  # lines or files in an error message
EXPECTED = "it should be UTF-8 text, a sentence a line"


@dataclass(frozen=True)
class Direction:
    """The languages that are translated from and to."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, the same number of each; `names` are their files."""

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
        """Reads their sentences. Raises JobError that names file and line."""
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
                raise JobError(f"{path} has no text, only empty lines; {EXPECTED}")
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
        raise JobError(f"{path} is empty; {EXPECTED}")
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
        raise JobError(f"{path}, line {line:,}, byte {column} is not UTF-8; {EXPECTED}") from None
    lines = text.split("\n")  # splitlines would also split at characters within sentences
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def find(
    files: Sequence[Path], source: str | None, target: str | None, architecture: str | None = None, where: str = ""
) -> Corpus:
    """The corpus among `files`. Without given languages the direction may follow from the name of the architecture
    (fconv_iwslt_de_en). `where` names the folder in errors. Raises JobError."""
    texts = {path: language for path in files if (language := language_of(path))}
    names = ", ".join(path.name for path in files[:10]) or "no file"
    languages = sorted(set(texts.values()))
    expected = "two files of sentences whose names end in their languages, such as train.de and train.en"
    if not texts:
        raise JobError(f"{where} needs {expected}; it holds {names}")
    if len(languages) == 1:
        raise JobError(f"{where} has text in {languages[0]!r} only; it needs {expected}, and holds {names}")
    direction = direction_of(languages, source, target, architecture, where)
    for language in (direction.source, direction.target):
        if language not in languages:
            raise JobError(f"{where} has no text in {language!r}; it needs {expected}, and holds {names}")
    train, valid = (_part(texts, direction, part) for part in ("train", "valid"))
    train = train or _only_pair(texts, direction)
    if train is None:
        raise JobError(f"{where} needs {expected}, with the same name before the ending; it holds {names}")
    return Corpus(direction, train, valid, find_codes(files))


def language_of(path: Path) -> str | None:
    """The language at the end of a file name: `de` of train.de and train.de.gz."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    language = suffix.removeprefix(".")
    return language if LANGUAGE.fullmatch(language) and language not in ("txt", "bin", "idx", "md") else None


def direction_of(
    languages: Sequence[str], source: str | None, target: str | None, architecture: str | None, where: str
) -> Direction:
    """The direction, out of `languages`. Raises JobError where it is undecided."""
    if source and target:
        if source == target:
            raise JobError(f"source_lang and target_lang are both {source!r}; they must be two languages")
        return Direction(source, target)
    others = [language for language in languages if language not in (source, target)]
    if (source or target) and len(others) == 1:
        return Direction(source or others[0], target or others[0])
    match = re.search(r"_([a-z]{2})_([a-z]{2})(_|$)", architecture or "")
    if not (source or target) and match and {match[1], match[2]} <= set(languages):
        return Direction(match[1], match[2])
    listed = ", ".join(languages) or "none"
    raise JobError(
        f"the direction is missing: set the hyperparameters source_lang and target_lang, such as de and en; {where} "
        f"has text in {listed}"
    )


def _part(texts: dict[Path, str], direction: Direction, part: str) -> Files | None:
    """The files of a part, by the beginning of their names."""
    by_language: dict[str, list[Path]] = {direction.source: [], direction.target: []}
    for path, language in texts.items():
        if language in by_language and _stem(path).split(".")[0].split("_")[0].split("-")[0].lower() in PARTS[part]:
            by_language[language].append(path)
    for language, paths in by_language.items():
        upper = topmost(paths)  # fairseq's scripts keep tmp/train.de beside train.de
        for path in sorted(set(paths) - set(upper)):
            say(f"{path} is left aside: {upper[0]} is in a folder above it")
        paths[:] = upper
        if len(paths) > 1:
            raise JobError(
                f"{part} is there more than once for {language!r}: {', '.join(map(str, paths[:MAX_LISTED]))}; "
                "leave one of them, or put them together"
            )
    sources, targets = by_language[direction.source], by_language[direction.target]
    if bool(sources) != bool(targets):
        present, missing = (sources[0], direction.target) if sources else (targets[0], direction.source)
        raise JobError(f"{present} has no partner in {missing!r}; there should be {_partner_name(present, missing)}")
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
    """The first line numbers, for error messages: `3, 17, 29 and 12 more`."""
    listed = list(lines)
    more = f" and {len(listed) - MAX_LISTED:,} more" if len(listed) > MAX_LISTED else ""
    return ", ".join(f"{line:,}" for line in listed[:MAX_LISTED]) + more
