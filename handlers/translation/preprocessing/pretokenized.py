"""Detects text that has been preprocessed already, such as the output of fairseq's scripts:

    Ich hab's: „viele Dinge“.               plain text
    ich hab &apos; s : „ viele dinge “ .    words of Moses' tokeniser, here in lower case
    ich hab &apos; s : „ viel@@ e dinge “ . the same, segmented by BPE

If the last two were tokenised again, the marks would become words, `@ @`, without any error. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import islice
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.handlers.translation.preprocessing.conventions import SENTENCEPIECE, SEPARATOR
from byo_container.handlers.translation.text import Bpe, join

# Minimum share of lines with subword tokens. With 10,000 merges most lines have some; plain text has none.
SEGMENTED = 0.05
# Minimum share of punctuation with a space before it. Moses leaves a full stop at an abbreviation, so that those within
# a line are not counted.
APART = 0.8
ATTACHED = re.compile(r"""\w[,?!"]$|^["„(]\w|\w'\w""")
SAMPLED = 20_000  # lines of a file, from all parts of it: a corpus may have millions
CHECKED = 1000  # lines for which codes are compared with the text
# Minimum share of lines that the codes segment in the same way. BPE-dropout, or a vocabulary given to subword-nmt,
# changes some words.
SAME = 0.5
MAX_QUOTED = 60  # characters of a line in an error message
ADVICE = "plain text is best: it is preprocessed here, and requests in the same way"


def sample(lines: Sequence[str]) -> Sequence[str]:
    """Enough of the lines to detect how all were preprocessed."""
    return lines[:: 1 + len(lines) // SAMPLED]


class State(Enum):
    """How text was preprocessed."""

    PLAIN = "plain"
    TOKENISED = "tokenised"
    SEGMENTED = "segmented"


def state(lines: Sequence[str]) -> State:
    """Detects whether there are spaces between words and punctuation, and whether BPE was applied."""
    lines = sample(lines)
    if _share(lines, _has_subwords) > SEGMENTED:
        return State.SEGMENTED
    apart = attached = 0
    for line in lines:
        words = line.split()
        apart += sum(word in (",", ".") for word in words)
        attached += sum(ATTACHED.search(word) is not None for word in words)
        attached += bool(words) and len(words[-1]) > 1 and words[-1][-1] == "."
    return State.TOKENISED if apart > APART * (apart + attached) else State.PLAIN


def refuse_sentencepiece(path: Path, lines: Sequence[str]) -> None:
    """Raises JobError, which names the line, for text that SentencePiece has segmented."""
    if _share(sample(lines), lambda line: line.startswith(SENTENCEPIECE)) > SEGMENTED:
        number, line = next((n, line) for n, line in enumerate(lines, 1) if line.startswith(SENTENCEPIECE))
        raise JobError(
            f"{path}, line {number:,}, is cut into subword tokens of SentencePiece ({line[:MAX_QUOTED]!r}); {ADVICE}. "
            f"Those of subword-nmt (…{SEPARATOR}) with their codes are known, too"
        )


def refuse_segmented(valid: Iterable[tuple[Path, Sequence[str]]]) -> None:
    """Raises JobError, which names the line, for segmented validation text beside plain training text."""
    for path, lines in valid:
        if state(lines) is State.SEGMENTED:
            number, tokens = _first_subwords(lines)
            raise JobError(
                f"{path}, line {number:,}, is cut into subword tokens by BPE already ({tokens!r}), and the training "
                f"text is not; {ADVICE}"
            )


def missing_codes(path: Path, lines: Sequence[str], names: Iterable[str]) -> JobError:
    """The error for segmented text without its codes."""
    number, tokens = _first_subwords(lines)
    return JobError(
        f"{path}, line {number:,}, is cut into subword tokens by BPE already ({tokens!r}), and the codes are missing "
        "by which the endpoint could cut its requests: put the file that subword-nmt learned (`code` in fairseq's "
        f"scripts) beside the text, under a name such as {', '.join(islice(names, 4))}; or give the text before it was "
        f"cut: {ADVICE}"
    )


def check_codes(codes: Path, texts: Iterable[tuple[Path, Sequence[str]]]) -> None:
    """Raises JobError, which names file and line, where `codes` segments most of a text differently."""
    bpe = Bpe(codes)
    for path, lines in texts:
        segmented = []
        for number, line in enumerate(lines[:CHECKED], 1):
            given = " ".join(line.split())
            expected = bpe.apply(join(given))
            if SEPARATOR in given or SEPARATOR in expected:  # any codes leave lines of whole words as they are
                segmented.append((number, given, expected))
        wrong = [(number, given, expected) for number, given, expected in segmented if given != expected]
        if len(wrong) > (1 - SAME) * len(segmented):
            number, given, expected = wrong[0]
            raise JobError(
                f"{path}, line {number:,} ({given[:MAX_QUOTED]!r}) is not what {codes} makes of it "
                f"({expected[:MAX_QUOTED]!r}); bring the codes by which all of the text was cut, or the text "
                f"before it was cut: {ADVICE}"
            )


def _has_subwords(line: str) -> bool:
    return f"{SEPARATOR} " in line


def _first_subwords(lines: Sequence[str]) -> tuple[int, str]:
    """The number of the first line with subword tokens, and the tokens of the first such word."""
    number, line = next((number, line) for number, line in enumerate(lines, 1) if _has_subwords(line))
    words = line.split()
    first = next(index for index, word in enumerate(words) if word.endswith(SEPARATOR))
    last = next((index for index in range(first, len(words)) if not words[index].endswith(SEPARATOR)), len(words))
    return number, " ".join(words[first : last + 1])


def _share(lines: Sequence[str], is_meant: Callable[[str], bool]) -> float:
    filled = [line for line in lines if line.strip()]
    return sum(map(is_meant, filled)) / len(filled) if filled else 0.0
