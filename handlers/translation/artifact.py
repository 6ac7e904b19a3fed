"""The model folder: what `train` writes and `serve` reads. Standard library only, until a checkpoint is read.

    translation.json    the manifest: a ModelManifest
    checkpoint.pt       the best checkpoint, without the optimizer's state
    dict.de.txt  dict.en.txt    the model's vocabulary of subword tokens, by language
    codes               how words are split into subword tokens (subword-nmt)

A folder without a manifest is taken for one that fairseq itself wrote: checkpoint_best.pt (or checkpoint_last.pt, or
the only *.pt), both dictionaries, and the codes under one of their usual names. No path may lead out of the folder.
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
from byo_container.container.suggest import did_you_mean
from byo_container.handlers.translation.preprocessing.conventions import Conventions, detect, read_dictionary, uses_bpe
from byo_container.handlers.translation.text import CODES, CODES_NAMES

if TYPE_CHECKING:
    from byo_container.handlers.translation.inference.checkpoint_file import CheckpointInfo

MANIFEST = "translation.json"
CHECKPOINT = "checkpoint.pt"
TOKENIZERS = ("moses",)
CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt", CHECKPOINT, "*.pt")  # of fairseq, best first
SPECIAL = 4  # <s>, <pad>, </s> and <unk>, which are not in a dictionary file


@dataclass(frozen=True)
class ModelManifest:
    """The files of a model, and how text is preprocessed for it. Paths are names in the folder."""

    source: str
    """The language of the input, such as "de"."""
    target: str
    checkpoint: str = CHECKPOINT
    codes: str | None = CODES
    """None for a model of whole words."""
    lowercase: bool = False
    normalise: bool = True
    """Whether typographic quotes and dashes were normalised in the training text."""
    escape: bool = True
    """Whether special characters are HTML entities in the training text."""
    split_hyphens: bool = False
    """Whether hyphens within words were split off in the training text, as @-@."""
    tokenizer: str = "moses"
    architecture: str = ""
    longest_source: int | None = None
    """Subword tokens of the longest sentence in the training text; longer input is split into sentences."""
    generation: dict[str, Any] = field(default_factory=dict)
    """Defaults for a request's parameters."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For people: updates, BLEU, versions. Nothing reads it."""

    @property
    def conventions(self) -> Conventions:
        """How requests are preprocessed: as the training text was."""
        return Conventions(self.lowercase, self.normalise, self.escape, self.split_hyphens)

    def dictionary(self, language: str) -> str:
        """The file name of a language's dictionary."""
        return f"dict.{language}.txt"

    def files(self) -> list[str]:
        """Every file that serving needs, without the manifest."""
        names = [self.checkpoint, self.dictionary(self.source), self.dictionary(self.target)]
        return [*names, self.codes] if self.codes else names

    def write(self, folder: Path) -> None:
        """Replaces the manifest in `folder` atomically."""
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> ModelManifest:
        """Reads the manifest in `folder` and checks that its files exist. Raises JobError that names file and key."""
        path = folder / MANIFEST
        manifest = cls(**_checked(read_object(path), path))
        if manifest.tokenizer not in TOKENIZERS:
            raise JobError(
                f"{path}: tokenizer is {manifest.tokenizer!r}; {did_you_mean(manifest.tokenizer, TOKENIZERS)}"
            )
        for name in manifest.files():
            path_inside(folder, name)
        return manifest


def _checked(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The manifest's values, after a check of their types."""
    texts = dict.fromkeys(("source", "target", "checkpoint", "tokenizer", "architecture"), (str, "a text"))
    flags = dict.fromkeys(("lowercase", "normalise", "escape", "split_hyphens"), (bool, "true or false"))
    objects = dict.fromkeys(("generation", "facts"), (dict, "an object"))
    types: dict[str, tuple[Any, str]] = {
        **texts,
        **flags,
        **objects,
        "codes": (str | None, "a text or null"),
        "longest_source": (int | None, "a whole number or null"),
    }
    for name in ("source", "target"):
        if name not in values:
            raise JobError(f'{path}: {name!r} is missing; it should be a language such as "de"')
    for name, value in values.items():
        if name not in types:
            raise JobError(f"{path}: unknown key {name!r}; {did_you_mean(name, types)}")
        expected, description = types[name]
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise JobError(f"{path}: {name!r} is {value!r}; it must be {description}")
    return values


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of the model in `folder`: our own, or one derived from what fairseq wrote. Raises JobError that
    says what is missing, where, and what would be right."""
    if (folder / MANIFEST).exists():
        return ModelManifest.read(folder)
    checkpoint = _first(folder, CHECKPOINTS, "a checkpoint of fairseq's, such as checkpoint_best.pt")
    from byo_container.handlers.translation.inference import checkpoint_file

    info = checkpoint_file.read(path_inside(folder, checkpoint)).info
    source, target = _languages(folder, info)
    counts = read_dictionary(path_inside(folder, f"dict.{source}.txt"))
    return ModelManifest(
        source,
        target,
        checkpoint=checkpoint,
        codes=_codes(folder, counts, folder / f"dict.{source}.txt"),
        architecture=info.architecture,
        **asdict(detect(counts)),
    )


def _languages(folder: Path, info: CheckpointInfo) -> tuple[str, str]:
    """The languages that the checkpoint translates from and to. fairseq records them only when they were given. Else
    they follow from the names of binary data in the folder (train.de-en.de.bin) or from the sizes of the
    dictionaries."""
    languages = sorted(path.name.removeprefix("dict.").removesuffix(".txt") for path in folder.glob("dict.*.txt"))
    pairs = {(info.source, info.target)} if info.source and info.target else _pairs(folder, languages, info)
    if len(pairs) != 1:
        raise JobError(
            f"the checkpoint in {folder} does not say from which language it translates (its dictionaries: "
            f"{', '.join(languages) or 'none'}); put a {MANIFEST} beside it: "
            '{"source": "de", "target": "en", "checkpoint": "checkpoint_best.pt", "codes": "codes"}'
        )
    ((source, target),) = pairs
    for language in (source, target):
        if language not in languages:
            raise JobError(
                f"{folder / f'dict.{language}.txt'} is missing: the checkpoint translates from {source!r} to "
                f"{target!r}, and fairseq-preprocess writes a dictionary for each; {_holds(folder)}"
            )
    return source, target


def _pairs(folder: Path, languages: list[str], info: CheckpointInfo) -> set[tuple[str, str]]:
    """The language pairs that are consistent with the files in the folder."""
    candidates = list(itertools.permutations(languages, 2))
    if by_name := {pair for pair in candidates if any(folder.glob(f"*.{'-'.join(pair)}.*"))}:
        return by_name
    size = {language: _size(path_inside(folder, f"dict.{language}.txt")) for language in languages}
    return {pair for pair in candidates if tuple(size[language] for language in pair) == info.dictionary_sizes}


def _size(dictionary: Path) -> int:
    """The number of entries that fairseq reads from a dictionary."""
    return dictionary.read_bytes().rstrip(b"\n").count(b"\n") + 1 + SPECIAL


def _codes(folder: Path, counts: dict[str, int], dictionary: Path) -> str | None:
    """The file with BPE codes; None for a model of whole words."""
    if not uses_bpe(counts, dictionary):
        return None
    return _first(folder, CODES_NAMES, f"the BPE codes, under a name such as {', '.join(CODES_NAMES[:5])}")


def _first(folder: Path, patterns: Iterable[str], what: str) -> str:
    """The name of the only file that matches the first pattern with a match."""
    for pattern in patterns:
        names = sorted(path.name for path in folder.glob(pattern) if path.is_file())
        if len(names) == 1:
            return path_inside(folder, names[0]).name
        if names:
            raise JobError(f"{folder} holds several files {pattern} ({', '.join(names)}); leave the right one there")
    raise JobError(f"{folder} lacks {what}; {_holds(folder)}")


def _holds(folder: Path) -> str:
    return "it holds " + (", ".join(sorted(entry.name for entry in folder.glob("*"))) or "nothing")


def path_inside(folder: Path, name: str) -> Path:
    """The file `name` in `folder`. Raises JobError where it is missing, or where a link or `..` leads out."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise JobError(f"{path} leads out of {folder}; a model's files must lie in its own folder")
    if not path.is_file():
        raise JobError(f"{path} is missing; {_holds(folder)}")
    return path
