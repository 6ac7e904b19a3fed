"""Plain text ↔ the model's input: words between spaces, segmented into subword tokens.

    "R&B für „Müller“"  → normalise, tokenise →  'R &amp; B für &quot; Müller &quot;'  → Bpe →  '… Mü@@ ller …'

Training and serving use the same code, as a model must get the words that it was trained with. As in fairseq's
prepare-iwslt14.sh the words are those of Moses' tokeniser (sacremoses), with & < > ' " | [ ] as HTML entities, and the
subword tokens those of subword-nmt. Unlike that script this module normalises punctuation: people type all kinds of
quotes and dashes, and training data have few of them.
"""

from __future__ import annotations

import fnmatch
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.handlers.translation.preprocessing.conventions import DEFAULT, SEPARATOR, Conventions

CODES = "codes"
VERSION = "#version:"  # the beginning of subword-nmt's files since 2017
# Names of files with codes, the usual ones first: fairseq's scripts write `code`.
CODES_NAMES = (CODES, "code", "bpecodes", "bpe.codes", "*.codes", "codes.*", "code.*", "bpecodes.*", "bpe.[0-9]*")
# Only with the semicolon: html.unescape also changes `&copy=2`, which is no entity in text.
_ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_JOINTS = re.compile(r"@@( |$)")
CACHED_WORDS = 100_000  # some 20 MB; a client that sends ever new words must not fill the memory


class Text:
    """Tokenises and detokenises text of one language. Cheap to pickle; sacremoses is imported on first use."""

    def __init__(self, language: str, conventions: Conventions = DEFAULT) -> None:
        """`language` is a code such as "de"."""
        self.language = language
        self.conventions = conventions
        self._is_loaded = False

    def __getstate__(self) -> dict[str, object]:
        return {"language": self.language, "conventions": self.conventions, "_is_loaded": False}

    def tokenize(self, text: str) -> str:
        """Words between single spaces, with special characters escaped; '' for text without words."""
        self._load()
        conventions = self.conventions
        text = unescape(unicodedata.normalize("NFC", text))
        if conventions.normalise:
            text = self._normaliser.normalize(text)
        words: str = self._tokenizer.tokenize(
            text, return_str=True, escape=conventions.escape, aggressive_dash_splits=conventions.split_hyphens
        )
        words = " ".join(words.split())  # no-break spaces too, where fairseq would split
        return words.lower() if conventions.lowercase else words

    def detokenize(self, words: str) -> str:
        """Plain text. Entities are unescaped, also those that were escaped several times."""
        self._load()
        plain: str = self._detokenizer.detokenize(unescape(words).split(), unescape=False)
        return plain

    def _load(self) -> None:
        if self._is_loaded:
            return
        from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

        # Without swapping quotes and commas (American style) or changing commas between digits, which alter the text.
        self._normaliser = MosesPunctNormalizer(self.language, norm_quote_commas=False, norm_numbers=False)
        self._tokenizer = MosesTokenizer(self.language)
        self._detokenizer = MosesDetokenizer(self.language)
        self._is_loaded = True


def unescape(text: str) -> str:
    """Replaces HTML entities by their characters, doubly escaped ones too."""
    while True:
        once = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if once == text:
            return text
        text = once


def find_codes(files: Iterable[Path]) -> Path | None:
    """The file with BPE codes among `files`, by its name, in the topmost folder. A file with a name such as `code.*`
    must begin like those of subword-nmt. Raises JobError where there are several."""
    for pattern in CODES_NAMES:
        named = [path for path in files if fnmatch.fnmatchcase(path.name, pattern)]
        candidates = topmost([path for path in named if path.name == pattern or _begins_as_codes(path)])
        if len(candidates) > 1:
            raise JobError(
                f"there are several files with BPE codes: {', '.join(map(str, candidates))}; leave the right one"
            )
        if candidates:
            return candidates[0]
    return None


def _begins_as_codes(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(VERSION)) == VERSION.encode()


def topmost(paths: Sequence[Path]) -> list[Path]:
    """The paths in the topmost folder: scripts keep intermediate files in folders below."""
    depth = min((len(path.parts) for path in paths), default=0)
    return [path for path in paths if len(path.parts) == depth]


class Bpe:
    """Segments words into subword tokens (byte-pair encoding, subword-nmt).

    https://aclanthology.org/P16-1162/
    """

    def __init__(self, codes: Path) -> None:
        """Raises JobError where `codes` is missing, or is not from subword-nmt."""
        _check(codes)
        from subword_nmt.apply_bpe import BPE

        self._codes = codes
        with codes.open(encoding="utf-8") as stream:
            self._bpe = BPE(stream, separator=SEPARATOR)

    def __reduce__(self) -> tuple[type[Bpe], tuple[Path]]:
        return Bpe, (self._codes,)

    def apply(self, words: str) -> str:
        """Subword tokens between spaces; all but the last of a word end in @@."""
        if len(self._bpe.cache) > CACHED_WORDS:
            self._bpe.cache.clear()
        tokens: str = self._bpe.segment(words)
        return tokens


def _check(codes: Path) -> None:
    """Raises JobError for an invalid line, where subword-nmt would end the process."""
    expected = "it should be what `subword-nmt learn-bpe` writes, two symbols a line"
    try:
        lines = codes.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError:
        raise JobError(f"{codes} is missing; {expected}") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{codes} is not UTF-8 (byte {error.start}); {expected}") from None
    first = 1
    if lines[0].startswith(VERSION):
        if lines[0].split()[-1] not in ("0.1", "0.2"):
            raise JobError(f"{codes} says {lines[0]!r}; versions 0.1 and 0.2 are known")
        first = 2
    for number, line in enumerate(lines[first - 1 :], first):
        if len(line.strip("\r\n ").split(" ")) != 2:
            raise JobError(f"{codes}, line {number} is {line[:60]!r}; {expected}")


def join(tokens: str) -> str:
    """Joins subword tokens to words: removes `@@ `, also at the end, where the last word is incomplete."""
    return _JOINTS.sub("", tokens).rstrip()
