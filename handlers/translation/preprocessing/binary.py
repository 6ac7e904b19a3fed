"""Figures of binary text as fairseq-preprocess writes it: an index of sentences (.idx), their pieces as numbers (.bin).

The format is that of fairseq's MMapIndexedDataset, which is what it writes unless told otherwise:
https://github.com/facebookresearch/fairseq/blob/v0.12.2/fairseq/data/indexed_dataset.py
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from byo_container.handlers.translation.preprocessing.conventions import SEPARATOR
from byo_container.handlers.translation.text import unescape

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQ")  # magic, version, type of a number, sentences
TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"}
SPECIAL = 4  # <s>, <pad>, </s> and <unk>, whose numbers come before those of a dictionary's lines
BLOCK = 1 << 22


@dataclass(frozen=True)
class Figures:
    """Of the sentences of one language."""

    lines: int
    longest: int
    """Pieces, without the end of the sentence."""
    size: int
    """Bytes of its words with a space or a line break after each."""


def figures(prefix: Path, dictionary: Mapping[str, int]) -> Figures | None:
    """Those of `prefix`.idx and `prefix`.bin; None for a format of older versions of fairseq."""
    import numpy as np

    index = prefix.with_name(f"{prefix.name}.idx")
    with index.open("rb") as stream:
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            return None
        _, _, code, lines = HEADER.unpack(header)
        lengths = np.fromfile(stream, np.int32, lines)
    if code not in TYPES or not lines:
        return None
    numbers = np.memmap(prefix.with_name(f"{prefix.name}.bin"), TYPES[code], "r")
    sizes = np.array([0] * SPECIAL + [_size(piece) for piece in dictionary])
    total = 0
    for first in range(0, len(numbers), BLOCK):
        block = numbers[first : first + BLOCK]
        total += int(sizes[block[block < len(sizes)]].sum())
    return Figures(int(lines), int(lengths.max()) - 1, total)


def _size(piece: str) -> int:
    if piece.endswith(SEPARATOR):
        return len(piece.removesuffix(SEPARATOR).encode())
    return len(unescape(piece).encode()) + 1
