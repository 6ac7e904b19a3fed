"""Learns byte-pair encoding by subword-nmt, on the words of both languages together.

https://aclanthology.org/P16-1162/
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.progress import Progress


def count(texts: Iterable[Iterable[str]]) -> Counter[str]:
    """The frequency of each word in lines with spaces between words."""
    words: Counter[str] = Counter()
    for lines in texts:
        for line in lines:
            words.update(line.split(" "))
    del words[""]
    return words


def learn(words: Counter[str], merges: int, path: Path) -> None:
    """Writes at most `merges` codes to `path`; fewer where no pair of subwords occurs twice any more. Raises JobError
    where there is nothing to merge."""
    from subword_nmt import learn_bpe

    if not any(len(word) > 1 for word in words):
        raise JobError("the training text has no word of two letters, so that no subword tokens can be learned from it")
    # subword-nmt's progress bar would fill a log with lines.
    learn_bpe.tqdm = _with_progress
    # Sorted: which of two pairs comes first must not depend on the order of the words.
    dictionary = io.StringIO("".join(f"{word} {number}\n" for word, number in sorted(words.items())))
    with path.open("w", encoding="utf-8", newline="\n") as codes:
        learn_bpe.learn_bpe(dictionary, codes, merges, is_dict=True)


def symbols(path: Path) -> Counter[str]:
    """The symbols in the codes, such as `sch` and `ö`."""
    merges = path.read_text(encoding="utf-8", errors="replace").split("\n")
    lines = (line for line in merges if not line.startswith("#version"))
    return Counter(symbol.removesuffix("</w>") for line in lines for symbol in line.split())


def _with_progress(steps: Any) -> Iterator[int]:
    with Progress("learning how to cut words", len(steps), "merges") as progress:
        for step in steps:
            yield step
            progress.advance(1)
