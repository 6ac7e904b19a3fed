"""Fingerprints of content, by which a checkpoint knows what it was made from.

SHA-256, cut to 16 hexadecimal digits: processors compute it themselves, at 2 GB/s, which is twice as fast as BLAKE2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

LENGTH = 16


def of_files(paths: Iterable[Path]) -> str:
    """The fingerprint of files by name (without folders) and content, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()[:LENGTH]


def of_bytes(*parts: bytes) -> str:
    """The fingerprint of some bytes; where one part ends and the next begins counts too."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:LENGTH]
