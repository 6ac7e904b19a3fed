"""A handler whose inputs say what is to happen. Copied into the code folder of a server under test."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from container.handler import InputError

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])


class Toy:
    def load(self, model_dir: Path) -> str:
        with open(os.environ.get("TOY_LOADS", os.devnull), "a") as loads:
            loads.write(f"{os.getpid()}\n")
        time.sleep(float(os.environ.get("TOY_LOAD_S", "0")))
        if reason := os.environ.get("TOY_LOAD_ERROR"):
            if reason == "exit":
                sys.exit(3)
            raise ValueError(reason)
        return "loaded"

    def predict(self, model: str, inputs: list[Any]) -> list[Any]:
        return [self._act(value, len(inputs)) for value in inputs][self._missing(inputs) :]

    def _missing(self, inputs: list[Any]) -> int:
        return sum(isinstance(value, dict) and "drop" in value for value in inputs)

    def _act(self, value: Any, together: int) -> Any:
        match value:
            case {"sleep": seconds}:
                time.sleep(seconds)
                return os.getpid()
            case {"busy": seconds}:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    pass
            case {"raise": text}:
                raise ValueError(text)
            case {"refuse": text}:
                return InputError(text)
            case {"exit": status}:
                sys.exit(status)
            case {"memory": _}:
                raise MemoryError("no room")
            case {"segfault": _}:
                ctypes.string_at(0)
            case {"nan": _}:
                return [math.nan, math.inf]
            case {"strange": _}:
                return object()
            case {"ask": "pid"}:
                return os.getpid()
            case {"ask": "together"}:
                return together
        return value
