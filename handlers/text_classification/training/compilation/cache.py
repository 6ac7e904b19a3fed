"""The compiler's cache as one file beside the checkpoints, so that a job that is restarted does not compile again.

    compiler-cache.bin    a line of JSON: what it is for, its length and digest; then PyTorch's cache artifacts

They are code that the job runs. The digest finds a damaged or incomplete copy, and the key another PyTorch, processor
or job. Neither tells who has written the file: like the checkpoints, it is as trustworthy as those who may write
to where the platform keeps them (CheckpointConfig's S3Uri). compile=false never reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byo_container.container.files.disk_errors import UNFINISHED
from byo_container.container.files.reading import open_regular

FILE = "compiler-cache.bin"
FORMAT = 1
MAX_BYTES = 1 << 30
MAX_HEADER_BYTES = 4096


def key(run: Mapping[str, Any], precision: str, cpu_flags: frozenset[str], gpu: str) -> str:
    """Identifies what compiled code depends on: the job, the precision, PyTorch, Python and the processor."""
    import torch

    parts = [FORMAT, run, precision, torch.__version__, torch.version.cuda, platform.python_version()]
    text = json.dumps([*parts, platform.machine(), sorted(cpu_flags), gpu], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, wanted: str, artifacts: bytes) -> None:
    """Replaces the file atomically. Raises OSError."""
    header = {"key": wanted, "bytes": len(artifacts), "sha256": hashlib.sha256(artifacts).hexdigest()}
    unfinished = path.with_name(UNFINISHED + path.name)
    try:
        with unfinished.open("wb") as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            stream.write(artifacts)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path, wanted: str) -> bytes | str | None:
    """The artifacts, or why they are not used; None without a file."""
    try:
        with open_regular(path) as stream:
            header = json.loads(stream.readline(MAX_HEADER_BYTES))
            size = os.fstat(stream.fileno()).st_size - stream.tell()
            if header["key"] != wanted:
                return "it is of another PyTorch, processor or job"
            if header["bytes"] != size or size > MAX_BYTES:
                return "it was not copied completely"
            artifacts: bytes = stream.read(size)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"it cannot be read: {error!r}"
    if hashlib.sha256(artifacts).hexdigest() != header["sha256"]:
        return "it is damaged"
    return artifacts


def load(artifacts: bytes) -> bool:
    """Hands the artifacts to the compiler; whether it could use them."""
    import torch

    with contextlib.suppress(Exception):  # whatever PyTorch makes of a file of its own that it cannot read
        return torch.compiler.load_cache_artifacts(artifacts) is not None
    return False


def collect() -> bytes | None:
    """The artifacts of what was compiled so far; None where nothing was, or PyTorch cannot say."""
    import torch

    with contextlib.suppress(Exception):
        saved = torch.compiler.save_cache_artifacts()
        return saved[0] if saved else None
    return None
