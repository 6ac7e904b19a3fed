"""A handler that does what its input says. Copied into the code folder of a server under test."""

from __future__ import annotations

import ctypes
import logging
import math
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

from byo_container.container.handler import InputError

LEAKED: list[bytearray] = []
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
        version = model_dir / "version"
        if version.exists() and version.read_text() == "broken":
            raise ValueError("this version cannot be loaded")
        return version.read_text() if version.exists() else "loaded"

    def predict(self, model: str, inputs: list[Any]) -> list[Any]:
        return [self._act(value, len(inputs), model) for value in inputs][self._missing(inputs) :]

    def _missing(self, inputs: list[Any]) -> int:
        return sum(isinstance(value, dict) and "drop" in value for value in inputs)

    def _act(self, value: Any, together: int, version: str) -> Any:
        match value:
            case {"sleep": seconds}:
                time.sleep(seconds)
                return os.getpid()
            case {"hang in": pid}:
                time.sleep(30 if os.getpid() == pid else 0)
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
            case {"_exit": status}:
                os._exit(status)
            case {"leak": megabytes}:
                LEAKED.append(bytearray(b"x") * (megabytes << 20))
                return os.getpid()
            case {"deep": levels}:
                deep: list[Any] = []
                for _ in range(levels - 1):
                    deep = [deep]
                return deep
            case {"log": text}:
                logging.getLogger("a.library").warning(text)
            case {"terminate": seconds}:
                child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(seconds,))
                child.start()
                child.terminate()
                child.join(seconds)
                return child.exitcode
            case {"segfault": _}:
                ctypes.string_at(0)
            case {"nan": _}:
                return [math.nan, math.inf]
            case {"strange": _}:
                return object()
            case {"ask": "pid"}:
                return os.getpid()
            case {"ask": "device"}:
                return os.environ.get("CUDA_VISIBLE_DEVICES")
            case {"ask": "version"}:
                return version
            case {"ask": "together"}:
                return together
        return value
