"""What fairseq trains on: dictionaries and binary text, made here or by fairseq-preprocess itself.

dict.de.txt  dict.en.txt                              the pieces, by language
train.de-en.{de,en}.{bin,idx}  valid.de-en.…          the text, as numbers of pieces
codes                                                 how words are cut; may be missing in foreign data
valid.de  valid.en  prepared.json                     plain text to measure with, and facts: only ours
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from container import digest
from container.failure import JobError
from container.job import read_object
from handlers.translation.preparing.corpus import Direction

FACTS = "prepared.json"
CODES = "codes"
USUAL_CODES = (CODES, "code", "bpecodes", "bpe.codes")
BINARY = re.compile(r"train\.([A-Za-z_]+)-([A-Za-z_]+)\.[A-Za-z_]+\.bin")


@dataclass(frozen=True)
class Prepared:
    """A folder that fairseq can train on."""

    folder: Path
    direction: Direction
    codes: Path | None
    lowercase: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    """Lines, megabytes and the like, where they are known."""

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
    facts = read_object(folder / FACTS) if (folder / FACTS).exists() else {}
    codes = [folder / name for name in USUAL_CODES if (folder / name).is_file()]
    _check_whole(folder, direction, (name[1], name[2]))
    return Prepared(folder, direction, codes[0] if codes else None, bool(facts.get("lowercase")), facts)


def _check_whole(folder: Path, direction: Direction, named: tuple[str, str]) -> None:
    needed = [f"dict.{language}.txt" for language in (direction.source, direction.target)]
    for part in ("train", "valid"):
        for language in (direction.source, direction.target):
            needed += [f"{part}.{named[0]}-{named[1]}.{language}.{ending}" for ending in ("bin", "idx")]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise JobError(f"{folder} lacks {', '.join(missing)}, which fairseq-preprocess writes")
