"""The charsets that a request body may be in.

Python knows many more codecs, and a client must not choose among all of them: punycode takes time that grows with the
square of the length, utf-7 and unicode_escape yield half surrogates, others are no charsets at all. The charsets here
are decoded in linear time, and yield whole characters only.
"""

from __future__ import annotations

from encodings import normalize_encoding
from encodings.aliases import aliases

# By the names of Python's modules: https://docs.python.org/3/library/codecs.html#standard-encodings
UNICODE = ["utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"]
SINGLE_BYTE = [
    "ascii",
    "latin_1",
    *(f"iso8859_{part}" for part in range(1, 17) if part != 12),
    *(f"cp{page}" for page in range(1250, 1259)),
    *(f"cp{page}" for page in (437, 720, 737, 775, 850, 852, 855, 856, 857, 858, 860, 861, 862, 863, 864, 865, 866)),
    *("cp869", "cp874", "koi8_r", "koi8_u", "koi8_t", "kz1048", "tis_620", "mac_roman", "mac_cyrillic"),
]
MULTI_BYTE = [
    *("shift_jis", "shift_jis_2004", "shift_jisx0213", "cp932", "euc_jp", "euc_jis_2004", "euc_jisx0213"),
    *("gb2312", "gbk", "gb18030", "cp936", "big5", "big5hkscs", "cp950", "euc_kr", "cp949", "johab"),
]
_allowed = frozenset(UNICODE + SINGLE_BYTE + MULTI_BYTE)
# The codec by each name of a charset. A table, because Python remembers every name that it looks up.
CODECS = {name: codec for name, codec in aliases.items() if codec in _allowed} | {name: name for name in _allowed}
# A byte order mark in front of UTF-8 is not part of the text, and ASCII is UTF-8.
CODECS |= {name: "utf_8_sig" for name, codec in CODECS.items() if codec in ("utf_8", "ascii")}


def codec(charset: str) -> str | None:
    """Python's codec for the charset of a Content-Type; None for one that is not supported."""
    return CODECS.get(normalize_encoding(charset).lower())
