"""Digests of content, with which a checkpoint records the data that it was made from.

SHA-256, cut to 16 hexadecimal digits: processors have instructions for it, so that it runs at 2 GB/s, twice as fast as
BLAKE2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

LENGTH = 16


def of_files(paths: Iterable[Path]) -> str:
    """The digest of files: of their names (without folders) and contents, in this order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()[:LENGTH]


def of_bytes(*parts: bytes) -> str:
    """The digest of several parts. Where one part ends and the next begins matters too."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:LENGTH]
