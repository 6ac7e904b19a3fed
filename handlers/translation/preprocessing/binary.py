"""Statistics of binary text by fairseq-preprocess: an index of sentences (.idx), and their subword tokens as ids
(.bin).

The format is that of fairseq's MMapIndexedDataset, its default:
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
HEADER = struct.Struct("<9sQBQ")  # magic, version, type of the ids, sentences
TYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"}
SPECIAL = 4  # <s>, <pad>, </s> and <unk>, whose ids precede those of the lines of a dictionary
BLOCK = 1 << 22


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of the sentences of one language."""

    lines: int
    longest: int
    """Subword tokens of the longest sentence, without the end-of-sentence token."""
    size: int
    """Bytes of the words, with a space or a line break after each."""


def statistics(prefix: Path, dictionary: Mapping[str, int]) -> TextStatistics | None:
    """Statistics of `prefix`.idx and `prefix`.bin; None for a format of older versions of fairseq."""
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
    ids = np.memmap(prefix.with_name(f"{prefix.name}.bin"), TYPES[code], "r")
    sizes = np.array([0] * SPECIAL + [_size(token) for token in dictionary])
    total = 0
    for first in range(0, len(ids), BLOCK):
        block = ids[first : first + BLOCK]
        total += int(sizes[block[block < len(sizes)]].sum())
    return TextStatistics(int(lines), int(lengths.max()) - 1, total)


def _size(token: str) -> int:
    if token.endswith(SEPARATOR):
        return len(token.removesuffix(SEPARATOR).encode())
    return len(unescape(token).encode()) + 1
