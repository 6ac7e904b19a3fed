"""The model folder: what `train` leaves and `serve` reads. Standard library only, until a checkpoint is asked.

    translation.json    the manifest: a Bundle
    checkpoint.pt       the best checkpoint, without the optimiser's state
    dict.de.txt  dict.en.txt    the pieces that the network knows, by language
    codes               how words are cut into pieces (subword-nmt)

A folder without manifest is taken for one that fairseq itself made: checkpoint_best.pt (or checkpoint_last.pt, or
the only *.pt), both dictionaries, and the codes under one of their usual names. No path leads out of the folder.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.container.files.atomic import write_atomically
from byo_container.container.files.json_object import read_object
from byo_container.container.hyperparameters import nearest
from byo_container.handlers.translation.preprocessing.conventions import Conventions, detect, is_cut, read_dictionary
from byo_container.handlers.translation.text import CODES, CODES_NAMES

if TYPE_CHECKING:
    from byo_container.handlers.translation.inference.model import Facts

MANIFEST = "translation.json"
CHECKPOINT = "checkpoint.pt"
TOKENIZERS = ("moses",)
CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt", CHECKPOINT, "*.pt")  # fairseq's, best first
SPECIAL = 4  # <s>, <pad>, </s> and <unk>, which a dictionary's file leaves out


@dataclass(frozen=True)
class Bundle:
    """What belongs together. Paths are names in the folder."""

    source: str
    """The language that goes in, such as "de"."""
    target: str
    checkpoint: str = CHECKPOINT
    codes: str | None = CODES
    """None for a model of whole words."""
    lowercase: bool = False
    normalise: bool = True
    """Whether typographic quotes and dashes were made plain in the training text."""
    escape: bool = True
    """Whether special characters are HTML entities in the training text."""
    split_hyphens: bool = False
    """Whether hyphens within words are words of their own there, @-@."""
    tokenizer: str = "moses"
    architecture: str = ""
    longest_source: int | None = None
    """Pieces of the longest sentence in the training text; longer input is cut into sentences."""
    generation: dict[str, Any] = field(default_factory=dict)
    """Defaults for a request's parameters."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What a reader may want to know: updates, BLEU, versions. Nothing reads it."""

    @property
    def conventions(self) -> Conventions:
        """How requests are preprocessed: as the training text was."""
        return Conventions(self.lowercase, self.normalise, self.escape, self.split_hyphens)

    def dictionary(self, language: str) -> str:
        """The name of a language's dictionary."""
        return f"dict.{language}.txt"

    def files(self) -> list[str]:
        """Every file but the manifest that serving needs."""
        names = [self.checkpoint, self.dictionary(self.source), self.dictionary(self.target)]
        return [*names, self.codes] if self.codes else names

    def write(self, folder: Path) -> None:
        """Replaces the manifest in `folder` as a whole."""
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """What the manifest in `folder` says, its files being there. Raises JobError that names file and key."""
        path = folder / MANIFEST
        values = read_object(path)
        bundle = cls(**_checked(values, path))
        if bundle.tokenizer not in TOKENIZERS:
            raise JobError(f"{path}: tokenizer is {bundle.tokenizer!r}; {nearest(bundle.tokenizer, TOKENIZERS)}")
        for name in bundle.files():
            inside(folder, name)
        return bundle


def _checked(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The manifest's values, each of the type that it must have."""
    texts = dict.fromkeys(("source", "target", "checkpoint", "tokenizer", "architecture"), (str, "a text"))
    truths = dict.fromkeys(("lowercase", "normalise", "escape", "split_hyphens"), (bool, "true or false"))
    objects = dict.fromkeys(("generation", "facts"), (dict, "an object"))
    kinds: dict[str, tuple[Any, str]] = {
        **texts,
        **truths,
        **objects,
        "codes": (str | None, "a text or null"),
        "longest_source": (int | None, "a whole number or null"),
    }
    for name in ("source", "target"):
        if name not in values:
            raise JobError(f'{path}: {name!r} is missing; it should be a language such as "de"')
    for name, value in values.items():
        if name not in kinds:
            raise JobError(f"{path}: unknown key {name!r}; {nearest(name, kinds)}")
        kind, right = kinds[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise JobError(f"{path}: {name!r} is {value!r}; it must be {right}")
    return values


def find(folder: Path) -> Bundle:
    """The bundle in `folder`, with our manifest or made by fairseq itself. Raises JobError that says what is
    missing, where, and what would be right."""
    if (folder / MANIFEST).exists():
        return Bundle.read(folder)
    checkpoint = _first(folder, CHECKPOINTS, "a checkpoint of fairseq's, such as checkpoint_best.pt")
    from byo_container.handlers.translation.inference import model

    told = model.facts(inside(folder, checkpoint))
    source, target = _languages(folder, told)
    pieces = read_dictionary(inside(folder, f"dict.{source}.txt"))
    return Bundle(
        source,
        target,
        checkpoint=checkpoint,
        codes=_codes(folder, pieces, folder / f"dict.{source}.txt"),
        architecture=told.architecture,
        **asdict(detect(pieces)),
    )


def _languages(folder: Path, told: Facts) -> tuple[str, str]:
    """From which language to which the checkpoint translates. fairseq notes it only where it was told: else binary
    data in the folder (train.de-en.de.bin) or the sizes of both dictionaries tell."""
    found = sorted(path.name.removeprefix("dict.").removesuffix(".txt") for path in folder.glob("dict.*.txt"))
    pairs = {(told.source, told.target)} if told.source and told.target else _pairs(folder, found, told)
    if len(pairs) != 1:
        raise JobError(
            f"the checkpoint in {folder} does not say from which language it translates (its dictionaries: "
            f"{', '.join(found) or 'none'}); put a {MANIFEST} beside it: "
            '{"source": "de", "target": "en", "checkpoint": "checkpoint_best.pt", "codes": "codes"}'
        )
    ((source, target),) = pairs
    for language in (source, target):
        if language not in found:
            raise JobError(
                f"{folder / f'dict.{language}.txt'} is missing: the checkpoint translates from {source!r} to "
                f"{target!r}, and fairseq-preprocess writes a dictionary for each; {_holds(folder)}"
            )
    return source, target


def _pairs(folder: Path, languages: list[str], told: Facts) -> set[tuple[str, str]]:
    """The pairs of languages that nothing in the folder speaks against."""
    both = list(itertools.permutations(languages, 2))
    if by_name := {pair for pair in both if any(folder.glob(f"*.{'-'.join(pair)}.*"))}:
        return by_name
    size = {language: _size(inside(folder, f"dict.{language}.txt")) for language in languages}
    return {pair for pair in both if tuple(size[language] for language in pair) == told.sizes}


def _size(dictionary: Path) -> int:
    """How many entries fairseq makes of a dictionary."""
    return dictionary.read_bytes().rstrip(b"\n").count(b"\n") + 1 + SPECIAL


def _codes(folder: Path, pieces: dict[str, int], dictionary: Path) -> str | None:
    """The file with BPE codes; None for a model of whole words."""
    if not is_cut(pieces, dictionary):
        return None
    return _first(folder, CODES_NAMES, f"the BPE codes, under a name such as {', '.join(CODES_NAMES[:5])}")


def _first(folder: Path, patterns: Iterable[str], what: str) -> str:
    """The name of the only file that fits the first pattern that any file fits."""
    for pattern in patterns:
        names = sorted(path.name for path in folder.glob(pattern) if path.is_file())
        if len(names) == 1:
            return inside(folder, names[0]).name
        if names:
            raise JobError(f"{folder} holds several files {pattern} ({', '.join(names)}); leave the right one there")
    raise JobError(f"{folder} lacks {what}; {_holds(folder)}")


def _holds(folder: Path) -> str:
    return "it holds " + (", ".join(sorted(entry.name for entry in folder.glob("*"))) or "nothing")


def inside(folder: Path, name: str) -> Path:
    """The file `name` in `folder`. Raises JobError where it is missing, or where a link or `..` leads out."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise JobError(f"{path} leads out of {folder}; a model's files must lie in its own folder")
    if not path.is_file():
        raise JobError(f"{path} is missing; {_holds(folder)}")
    return path
