"""The input of fairseq's training: dictionaries and binary text, made here or by fairseq-preprocess.

dict.de.txt  dict.en.txt                              the subword tokens, by language
train.de-en.{de,en}.{bin,idx}  valid.de-en.…          the text, as ids of subword tokens
codes                                                 the BPE codes; missing where words are whole
valid.de  valid.en  prepared.json                     plain text for validation, and facts: only in ours
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
class PreparedText:
    """A folder that fairseq can train on."""

    folder: Path
    direction: Direction
    codes: Path | None
    conventions: Conventions = conventions.DEFAULT
    """Those of the source language, for the preprocessing of requests."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Lines, megabytes and the like, as far as known."""

    @property
    def lowercase(self) -> bool:
        """Whether prepare.py lowercased both languages."""
        return bool(self.facts.get("lowercase"))

    @property
    def references(self) -> Path | None:
        """The plain text of the target side of the validation sentences; None in data that fairseq prepared."""
        path = self.folder / f"valid.{self.direction.target}"
        return path if FACTS in {entry.name for entry in self.folder.iterdir()} and path.is_file() else None

    @property
    def longest_source(self) -> int | None:
        """Subword tokens of the longest training sentence."""
        return self.facts.get("longest_source")

    def dictionary(self, language: str) -> Path:
        return self.folder / f"dict.{language}.txt"

    def fingerprint(self) -> str:
        """A digest of the data, to compare hosts."""
        read = (".bin", ".idx", ".txt")
        return digest.of_files(
            path for path in sorted(self.folder.iterdir()) if path.suffix in read or path == self.codes
        )


def find(files: Sequence[Path], source: str | None, target: str | None) -> PreparedText | None:
    """The prepared text among `files`; None where they are plain text. Raises JobError."""
    folders = {path.parent: BINARY.fullmatch(path.name) for path in files if BINARY.fullmatch(path.name)}
    if not folders:
        return None
    if len(folders) > 1:
        raise JobError(f"there is binary text in several folders: {', '.join(map(str, sorted(folders)))}; leave one")
    ((folder, name),) = folders.items()
    assert name
    named = (name[1], name[2])
    languages = {language for language in (source, target) if language}
    if not languages <= set(named):
        raise JobError(
            f"source_lang and target_lang ask for {', '.join(sorted(languages))}; {folder} is {name[1]}-{name[2]}"
        )
    # Binary text serves both directions: fairseq accepts either name.
    source = source or next(language for language in (name[1], name[2]) if language != target)
    direction = Direction(source, target or next(language for language in (name[2], name[1]) if language != source))
    _check_complete(folder, direction, named)
    dictionaries = {
        language: conventions.read_dictionary(folder / f"dict.{language}.txt")
        for language in (direction.source, direction.target)
    }
    codes = _codes(folder, files, direction, dictionaries)
    if (folder / FACTS).exists():
        facts = read_object(folder / FACTS)
        known = Conventions(**facts.get("conventions", {"lowercase": bool(facts.get("lowercase"))}))
        return PreparedText(folder, direction, codes, known, facts)
    detected = conventions.detect(dictionaries[direction.source])
    return PreparedText(folder, direction, codes, detected, _facts(folder, direction, named, dictionaries))


def _codes(
    folder: Path, files: Sequence[Path], direction: Direction, dictionaries: Mapping[str, Mapping[str, int]]
) -> Path | None:
    """The codes in the folder, else among all files; None where the dictionaries hold whole words. Raises JobError
    where they are missing."""
    codes = find_codes([path for path in files if path.parent == folder]) or find_codes(files)
    for language in (direction.source, direction.target):
        path = folder / f"dict.{language}.txt"
        if conventions.uses_bpe(dictionaries[language], path) and not codes:
            raise JobError(
                f"{path} has subword tokens (…{conventions.SEPARATOR}), and the BPE codes by which the endpoint could "
                "cut its requests are missing: put the file that subword-nmt learned (`code` in fairseq's scripts) "
                f"beside it, under a name such as {', '.join(CODES_NAMES[:4])}"
            )
    return codes


def _facts(
    folder: Path, direction: Direction, named: tuple[str, str], dictionaries: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """The facts of prepared.json, as far as binary text alone holds them."""

    def statistics(part: str, language: str) -> binary.TextStatistics | None:
        return binary.statistics(folder / f"{part}.{named[0]}-{named[1]}.{language}", dictionaries[language])

    source, target = statistics("train", direction.source), statistics("train", direction.target)
    valid = statistics("valid", direction.source)
    if not (source and target and valid):
        return {}
    return {
        "train_lines": source.lines,
        "valid_lines": valid.lines,
        "train_megabytes": round((source.size + target.size) / 1e6, 3),
        "longest_source": source.longest,
    }


def _check_complete(folder: Path, direction: Direction, named: tuple[str, str]) -> None:
    needed = [f"dict.{language}.txt" for language in (direction.source, direction.target)]
    for part in ("train", "valid"):
        for language in (direction.source, direction.target):
            needed += [f"{part}.{named[0]}-{named[1]}.{language}.{ending}" for ending in ("bin", "idx")]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise JobError(f"{folder} lacks {', '.join(missing)}, which fairseq-preprocess writes")
