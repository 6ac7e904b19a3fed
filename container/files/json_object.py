"""Files that hold one JSON object: the platform's config files, and our own manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError


def read_object(path: Path, least: str = "{}") -> dict[str, Any]:
    """Reads a file that holds one JSON object. Raises JobError that names the file, the line and the column; `least`
    is the shortest content that would do, for that message."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise JobError(f"{path} is missing; the platform writes it; by hand, the least is {least}") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{path} is not UTF-8 (byte {error.start}); it should hold a JSON object") from None
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise JobError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); "
            "it should hold one JSON object, and may have been cut off"
        ) from None
    except (ValueError, RecursionError) as error:
        raise JobError(f"{path} holds what no config file should: {error}") from None
    if not isinstance(value, dict):
        raise JobError(f"{path} should hold a JSON object such as {least}, and holds {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
