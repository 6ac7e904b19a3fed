"""A headline → its words: lower-case ASCII letters, digits and every other script as it is, as UTF-8.

Done by `bytes.translate`, so that four hundred thousand headlines take a second and one takes 2 µs.
Standard library only.
"""

from __future__ import annotations

# Quotes, dashes and the like, which stand between words; every other character beyond ASCII belongs to one.
_SEPARATORS = tuple(sign.encode() for sign in "\u2018\u2019\u201c\u201d\u2013\u2014…«»\u00a0•·")


def _table(keep: bytes = b"") -> bytes:
    table = bytearray(b" " * 256)
    for byte in range(256):
        if byte >= 0x80 or byte in keep:
            table[byte] = byte
        elif chr(byte).isalnum():
            table[byte] = ord(chr(byte).lower())
    return bytes(table)


_WORDS = _table()
_WORDS_AND_LINES = _table(keep=b"\n")


def words(headline: str) -> list[bytes]:
    """The words of one headline."""
    text = headline.encode("utf-8", "replace")
    if not headline.isascii():
        text = _separate(text)
    return text.translate(_WORDS).split()


def normalise_lines(titles: list[bytes]) -> bytes:
    """Many headlines (without newlines in them) as one text: words between spaces, a line for each."""
    return _separate(b"\n".join(titles)).translate(_WORDS_AND_LINES)


def _separate(text: bytes) -> bytes:
    for sign in _SEPARATORS:
        text = text.replace(sign, b" ")
    return text
