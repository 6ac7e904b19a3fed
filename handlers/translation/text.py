"""Plain text ↔ what the network reads: words between spaces, cut into pieces.

    "R&B für „Müller“"  → normalise, tokenise →  'R &amp; B für &quot; Müller &quot;'  → Bpe →  '… Mü@@ ller …'

Training and serving must do the same, or a model meets words that it never saw: both go through here. As in
fairseq's prepare-iwslt14.sh the words are those of Moses' tokeniser (sacremoses), with & < > ' " | [ ] as HTML
entities, and the pieces those of subword-nmt. That script normalises no punctuation; here it is done, for people
type all kinds of quotes and dashes, and data hold few of them.
"""

from __future__ import annotations

import fnmatch
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.handlers.translation.preprocessing.conventions import OURS, SEPARATOR, Conventions

CODES = "codes"
VERSION = "#version:"  # how subword-nmt's files begin since 2017
# Under which names files with codes are found, the usual ones first: fairseq's scripts write `code`.
CODES_NAMES = (CODES, "code", "bpecodes", "bpe.codes", "*.codes", "codes.*", "code.*", "bpecodes.*", "bpe.[0-9]*")
# With the semicolon only: Python unescapes `&copy=2` too, which in text is no entity.
_ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_PIECES = re.compile(r"@@( |$)")
CACHED_WORDS = 100_000  # some 20 MB: whoever sends words that nobody else uses must not fill the memory


class Text:
    """One language's way from plain text to words, and back. Cheap to pickle; sacremoses is imported on first use."""

    def __init__(self, language: str, conventions: Conventions = OURS) -> None:
        """`language` is a code such as "de"."""
        self.language = language
        self.conventions = conventions
        self._made = False

    def __getstate__(self) -> dict[str, object]:
        return {"language": self.language, "conventions": self.conventions, "_made": False}

    def tokenize(self, text: str) -> str:
        """Words between single spaces, special characters escaped. Whatever is no word becomes ''."""
        self._make()
        asked = self.conventions
        text = unescape(unicodedata.normalize("NFC", text))
        if asked.normalise:
            text = self._normaliser.normalize(text)
        words: str = self._tokenizer.tokenize(
            text, return_str=True, escape=asked.escape, aggressive_dash_splits=asked.split_hyphens
        )
        words = " ".join(words.split())  # no-break spaces, too: fairseq would split there
        return words.lower() if asked.lowercase else words

    def detokenize(self, words: str) -> str:
        """Plain text. Entities are unescaped however often they were escaped."""
        self._make()
        plain: str = self._detokenizer.detokenize(unescape(words).split(), unescape=False)
        return plain

    def _make(self) -> None:
        if self._made:
            return
        from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

        # Neither swaps of quote and comma (American style) nor commas between digits, which change what is said.
        self._normaliser = MosesPunctNormalizer(self.language, norm_quote_commas=False, norm_numbers=False)
        self._tokenizer = MosesTokenizer(self.language)
        self._detokenizer = MosesDetokenizer(self.language)
        self._made = True


def unescape(text: str) -> str:
    """HTML's entities as the characters that they stand for, doubly escaped ones too."""
    while True:
        once = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
        if once == text:
            return text
        text = once


def find_codes(files: Iterable[Path]) -> Path | None:
    """The file with BPE codes among `files`, by its name, the one in the uppermost folder. Under a name such as
    `code.*` only what begins as subword-nmt begins it. Raises JobError where there are several."""
    for pattern in CODES_NAMES:
        named = [path for path in files if fnmatch.fnmatchcase(path.name, pattern)]
        found = uppermost([path for path in named if path.name == pattern or _begins_as_codes(path)])
        if len(found) > 1:
            raise JobError(f"there are several files with BPE codes: {', '.join(map(str, found))}; leave the right one")
        if found:
            return found[0]
    return None


def _begins_as_codes(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(VERSION)) == VERSION.encode()


def uppermost(paths: Sequence[Path]) -> list[Path]:
    """Those in the uppermost of their folders: scripts keep what they make on the way in a folder below."""
    depth = min((len(path.parts) for path in paths), default=0)
    return [path for path in paths if len(path.parts) == depth]


class Bpe:
    """Cuts words into the pieces that were learned (byte-pair encoding, subword-nmt).

    https://aclanthology.org/P16-1162/
    """

    def __init__(self, codes: Path) -> None:
        """Raises JobError where `codes` is missing or is no file of subword-nmt's."""
        _check(codes)
        from subword_nmt.apply_bpe import BPE

        self._codes = codes
        with codes.open(encoding="utf-8") as stream:
            self._bpe = BPE(stream, separator=SEPARATOR)

    def __reduce__(self) -> tuple[type[Bpe], tuple[Path]]:
        return Bpe, (self._codes,)

    def apply(self, words: str) -> str:
        """Pieces between spaces; all but a word's last end in @@."""
        if len(self._bpe.cache) > CACHED_WORDS:
            self._bpe.cache.clear()
        pieces: str = self._bpe.segment(words)
        return pieces


def _check(codes: Path) -> None:
    """subword-nmt ends the process where a line is wrong: it is told here before."""
    right = "it should be what `subword-nmt learn-bpe` writes, two pieces a line"
    try:
        lines = codes.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError:
        raise JobError(f"{codes} is missing; {right}") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{codes} is not UTF-8 (byte {error.start}); {right}") from None
    first = 1
    if lines[0].startswith(VERSION):
        if lines[0].split()[-1] not in ("0.1", "0.2"):
            raise JobError(f"{codes} says {lines[0]!r}; versions 0.1 and 0.2 are known")
        first = 2
    for number, line in enumerate(lines[first - 1 :], first):
        if len(line.strip("\r\n ").split(" ")) != 2:
            raise JobError(f"{codes}, line {number} is {line[:60]!r}; {right}")


def join(pieces: str) -> str:
    """Words again from pieces: without `@@ `, and without the mark of a piece whose word never ends."""
    return _PIECES.sub("", pieces).rstrip()
