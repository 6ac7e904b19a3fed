"""Whether text has been preprocessed already, as that is which fairseq's scripts leave:

    Ich hab's: „viele Dinge“.               plain text
    ich hab &apos; s : „ viele dinge “ .    words of Moses' tokeniser, here in lower case
    ich hab &apos; s : „ viel@@ e dinge “ . the same, cut into pieces by BPE

To tokenise the last two again would make words of the marks, `@ @`, without any error. Standard library only.
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

# Of the lines with text. With 10,000 merges most lines have a word that was cut; in plain text none has.
CUT = 0.05
# Of the punctuation. Moses leaves a full stop at an abbreviation, so that those within a line tell nothing.
APART = 0.8
ATTACHED = re.compile(r"""\w[,?!"]$|^["„(]\w|\w'\w""")
LOOKED_AT = 20_000  # lines of a file, from all parts of it: a corpus may have millions
CHECKED = 1000  # lines, by which codes are compared with text
SAME = (
    0.5  # of those with pieces, at least: BPE-dropout, or a vocabulary given to subword-nmt, cuts some words otherwise
)
SHOWN = 60  # characters of a line
PLAIN = "plain text is best: it is preprocessed here, and requests in the same way"


def some(lines: Sequence[str]) -> Sequence[str]:
    """Enough of the lines to tell what has been done to all."""
    return lines[:: 1 + len(lines) // LOOKED_AT]


class State(Enum):
    """What has been done to text."""

    PLAIN = "plain"
    TOKENISED = "tokenised"
    CUT = "cut"


def state(lines: Sequence[str]) -> State:
    """Whether words and punctuation have spaces between them, and whether BPE has cut words into pieces."""
    lines = some(lines)
    if _share(lines, _has_pieces) > CUT:
        return State.CUT
    apart = attached = 0
    for line in lines:
        words = line.split()
        apart += sum(word in (",", ".") for word in words)
        attached += sum(ATTACHED.search(word) is not None for word in words)
        attached += bool(words) and len(words[-1]) > 1 and words[-1][-1] == "."
    return State.TOKENISED if apart > APART * (apart + attached) else State.PLAIN


def refuse_sentencepiece(path: Path, lines: Sequence[str]) -> None:
    """Raises JobError, which names the line, where SentencePiece has cut the text."""
    if _share(some(lines), lambda line: line.startswith(SENTENCEPIECE)) > CUT:
        number, line = next((n, line) for n, line in enumerate(lines, 1) if line.startswith(SENTENCEPIECE))
        raise JobError(
            f"{path}, line {number:,}, is cut into pieces of SentencePiece's ({line[:SHOWN]!r}); {PLAIN}. Pieces of "
            f"subword-nmt (…{SEPARATOR}) with their codes are known, too"
        )


def refuse_cut(valid: Iterable[tuple[Path, Sequence[str]]]) -> None:
    """Raises JobError, which names the line, for validation text that is cut while the training text is not."""
    for path, lines in valid:
        if state(lines) is State.CUT:
            number, piece = _first_piece(lines)
            raise JobError(
                f"{path}, line {number:,}, is cut into pieces by BPE already ({piece!r}), and the training text is "
                f"not; {PLAIN}"
            )


def missing_codes(path: Path, lines: Sequence[str], names: Iterable[str]) -> JobError:
    """For text that is cut, without the file that says how."""
    number, piece = _first_piece(lines)
    return JobError(
        f"{path}, line {number:,}, is cut into pieces by BPE already ({piece!r}), and the codes are missing by which "
        "the endpoint could cut its requests: put the file that subword-nmt learned (`code` in fairseq's scripts) "
        f"beside the text, under a name such as {', '.join(islice(names, 4))}; or give the text before it was cut: "
        f"{PLAIN}"
    )


def check_codes(codes: Path, texts: Iterable[tuple[Path, Sequence[str]]]) -> None:
    """Raises JobError, which names file and line, where `codes` would cut most of a text in another way."""
    bpe = Bpe(codes)
    for path, lines in texts:
        cut = []
        for number, line in enumerate(lines[:CHECKED], 1):
            given = " ".join(line.split())
            found = bpe.apply(join(given))
            if SEPARATOR in given or SEPARATOR in found:  # lines of whole words are the same by any codes
                cut.append((number, given, found))
        wrong = [(number, given, found) for number, given, found in cut if given != found]
        if len(wrong) > (1 - SAME) * len(cut):
            number, given, found = wrong[0]
            raise JobError(
                f"{path}, line {number:,} ({given[:SHOWN]!r}) is not what {codes} makes of it ({found[:SHOWN]!r}); "
                f"bring the codes by which all of the text was cut, or the text before it was cut: {PLAIN}"
            )


def _has_pieces(line: str) -> bool:
    return f"{SEPARATOR} " in line


def _first_piece(lines: Sequence[str]) -> tuple[int, str]:
    """The number of the first line with a word that was cut, and that word as it stands there."""
    number, line = next((number, line) for number, line in enumerate(lines, 1) if _has_pieces(line))
    words = line.split()
    first = next(place for place, word in enumerate(words) if word.endswith(SEPARATOR))
    last = next((place for place in range(first, len(words)) if not words[place].endswith(SEPARATOR)), len(words))
    return number, " ".join(words[first : last + 1])


def _share(lines: Sequence[str], is_meant: Callable[[str], bool]) -> float:
    filled = [line for line in lines if line.strip()]
    return sum(map(is_meant, filled)) / len(filled) if filled else 0.0
