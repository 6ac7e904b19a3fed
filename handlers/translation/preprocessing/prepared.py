"""What fairseq trains on: dictionaries and binary text, made here or by fairseq-preprocess itself.

dict.de.txt  dict.en.txt                              the pieces, by language
train.de-en.{de,en}.{bin,idx}  valid.de-en.…          the text, as numbers of pieces
codes                                                 how words are cut; missing where words are whole
valid.de  valid.en  prepared.json                     plain text to measure with, and facts: only ours
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.files import digest
from byo_container.container.files.json_object import read_object
from byo_container.handlers.translation.preprocessing import binary, conventions
from byo_container.handlers.translation.preprocessing.conventions import Conventions
from byo_container.handlers.translation.preprocessing.corpus import Direction
from byo_container.handlers.translation.text import CODES_NAMES, find_codes

FACTS = "prepared.json"
BINARY = re.compile(r"train\.([A-Za-z_]+)-([A-Za-z_]+)\.[A-Za-z_]+\.bin")


@dataclass(frozen=True)
class Prepared:
    """A folder that fairseq can train on."""

    folder: Path
    direction: Direction
    codes: Path | None
    conventions: Conventions = conventions.OURS
    """Those of the source language, which requests must follow."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Lines, megabytes and the like, where they are known."""

    @property
    def lowercase(self) -> bool:
        """Whether prepare.py put both languages in lower case."""
        return bool(self.facts.get("lowercase"))

    @property
    def references(self) -> Path | None:
        """The plain text of what the validation sentences should become; None in foreign data."""
        path = self.folder / f"valid.{self.direction.target}"
        return path if FACTS in {entry.name for entry in self.folder.iterdir()} and path.is_file() else None

    @property
    def longest_source(self) -> int | None:
        """Pieces of the longest sentence to train on."""
        return self.facts.get("longest_source")

    def dictionary(self, language: str) -> Path:
        return self.folder / f"dict.{language}.txt"

    def fingerprint(self) -> str:
        """What is the same on two hosts only where they train on the same data."""
        read = (".bin", ".idx", ".txt")
        return digest.of_files(
            path for path in sorted(self.folder.iterdir()) if path.suffix in read or path == self.codes
        )


def find(files: Sequence[Path], source: str | None, target: str | None) -> Prepared | None:
    """What has been prepared among `files`, or None where they are plain text. Raises JobError."""
    found = {path.parent: BINARY.fullmatch(path.name) for path in files if BINARY.fullmatch(path.name)}
    if not found:
        return None
    if len(found) > 1:
        raise JobError(f"there is binary text in several folders: {', '.join(map(str, sorted(found)))}; leave one")
    ((folder, name),) = found.items()
    assert name
    there = {name[1], name[2]}
    asked = {language for language in (source, target) if language}
    if not asked <= there:
        raise JobError(
            f"source_lang and target_lang ask for {', '.join(sorted(asked))}; {folder} is {name[1]}-{name[2]}"
        )
    # Binary text serves both directions: fairseq looks for either name.
    source = source or next(language for language in (name[1], name[2]) if language != target)
    direction = Direction(source, target or next(language for language in (name[2], name[1]) if language != source))
    named = (name[1], name[2])
    _check_whole(folder, direction, named)
    dictionaries = {
        language: conventions.read_dictionary(folder / f"dict.{language}.txt")
        for language in (direction.source, direction.target)
    }
    codes = _codes(folder, files, direction, dictionaries)
    if (folder / FACTS).exists():
        facts = read_object(folder / FACTS)
        told = Conventions(**facts.get("conventions", {"lowercase": bool(facts.get("lowercase"))}))
        return Prepared(folder, direction, codes, told, facts)
    told = conventions.detect(dictionaries[direction.source])
    return Prepared(folder, direction, codes, told, _facts(folder, direction, named, dictionaries))


def _codes(
    folder: Path, files: Sequence[Path], direction: Direction, dictionaries: Mapping[str, Mapping[str, int]]
) -> Path | None:
    """The codes in the folder, else those among all the files; None where the dictionaries hold whole words. Raises
    JobError where they are missing."""
    found = find_codes([path for path in files if path.parent == folder]) or find_codes(files)
    for language in (direction.source, direction.target):
        path = folder / f"dict.{language}.txt"
        if conventions.uses_bpe(dictionaries[language], path) and not found:
            raise JobError(
                f"{path} has pieces of words (…{conventions.SEPARATOR}), and the BPE codes by which the endpoint could "
                "cut its requests are missing: put the file that subword-nmt learned (`code` in fairseq's scripts) "
                f"beside it, under a name such as {', '.join(CODES_NAMES[:4])}"
            )
    return found


def _facts(
    folder: Path, direction: Direction, named: tuple[str, str], dictionaries: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """What prepared.json would tell, as far as foreign binary text tells it."""

    def figures(part: str, language: str) -> binary.Figures | None:
        return binary.figures(folder / f"{part}.{named[0]}-{named[1]}.{language}", dictionaries[language])

    source, target = figures("train", direction.source), figures("train", direction.target)
    valid = figures("valid", direction.source)
    if not (source and target and valid):
        return {}
    return {
        "train_lines": source.lines,
        "valid_lines": valid.lines,
        "train_megabytes": round((source.size + target.size) / 1e6, 3),
        "longest_source": source.longest,
    }


def _check_whole(folder: Path, direction: Direction, named: tuple[str, str]) -> None:
    needed = [f"dict.{language}.txt" for language in (direction.source, direction.target)]
    for part in ("train", "valid"):
        for language in (direction.source, direction.target):
            needed += [f"{part}.{named[0]}-{named[1]}.{language}.{ending}" for ending in ("bin", "idx")]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise JobError(f"{folder} lacks {', '.join(missing)}, which fairseq-preprocess writes")
