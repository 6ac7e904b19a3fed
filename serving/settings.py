"""The settings of `serve`: environment variables, read and checked once.

Both families of names are read, SAGEMAKER_MODEL_SERVER_* (SageMaker's toolkits) and MODEL_SERVER_*
(AWS's bring-your-own samples); docs/environment.md lists them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from byo_container.container.env_reader import EnvReader
from byo_container.container.resources import memory_bytes
from byo_container.serving.devices import AUTOCAST, default_workers

MEGABYTE = 1024 * 1024
# Whose defaults replace what an inference.py leaves out: modules of models.script.defaults, or one of them by evidence.
FAMILIES = ("generic", "sklearn", "xgboost", "pytorch", "huggingface", "tensorflow")
AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """Times are in seconds, sizes in bytes."""

    port: int = 8080
    workers: int = 1
    threads: int = 1
    timeout_s: int = 60
    startup_timeout_s: int = 600
    max_payload: int = 25 * MEGABYTE
    payload_chosen: bool = False
    """Whether the limit was set explicitly."""
    queue_size: int = 256
    """How many requests may wait for a slow model: in front of the workers, and in each of them."""
    batch_size: int = 0
    """0, here and for the next two: as the handler declares."""
    batch_delay_ms: int | None = None
    batch_cost: int = 0
    autocast: str = "off"
    default_accept: str = "application/json"
    defaults: str = AUTO
    """One of FAMILIES, or AUTO."""
    nginx: bool = True
    """Whether nginx stands in front of the workers. `serve` sets it to False if nginx is not installed."""
    access_log: bool = True
    json_logs: bool = False
    session_s: int = 1200
    """How long a session of a stateful endpoint lasts."""
    multi_model: bool = False
    models_memory: int = 0
    """Bytes that all workers of a multi-model endpoint may use together."""
    page: bool = False
    """Whether `/` shows the test page."""
    batch_transform: str = ""
    """The value of SAGEMAKER_BATCH if it is `true` (the platform) or `True` (the SDK's local mode), else empty."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, model_bytes: int = 0) -> Settings:
        """Raises JobError that names the variable, its value, and what would be right."""
        read = EnvReader(environ)
        batch = environ.get("SAGEMAKER_BATCH", "")
        payload = read.whole_number(["SAGEMAKER_MAX_PAYLOAD_IN_MB", *_both("MAX_PAYLOAD_IN_MB")], None, 1, 100_000)
        return cls(
            port=read.whole_number(["SAGEMAKER_BIND_TO_PORT"], 8080, 1, 65535),
            workers=read.whole_number(_both("WORKERS"), 0, 1, 1024) or default_workers(model_bytes),
            threads=read.whole_number(_both("THREADS"), 1, 1, 1024),
            timeout_s=read.whole_number([*_both("TIMEOUT_SECONDS"), *_both("TIMEOUT")], 60, 1, 24 * 3600),
            startup_timeout_s=read.whole_number(["SAGEMAKER_STARTUP_TIMEOUT"], 600, 1, 24 * 3600),
            max_payload=(payload or (100 if batch.lower() == "true" else 25)) * MEGABYTE,
            payload_chosen=payload is not None,
            queue_size=read.whole_number(_both("QUEUE_SIZE"), 256, 1, 100_000),
            batch_size=read.whole_number(_both("BATCH_SIZE"), 0, 1, 100_000),
            batch_delay_ms=read.whole_number(_both("BATCH_DELAY_MS"), None, 0, 60_000),
            batch_cost=read.whole_number(_both("BATCH_COST"), 0, 1, 10**12),
            autocast=read.choice(_both("AUTOCAST"), AUTOCAST),
            default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or "application/json",
            defaults=read.choice(_both("DEFAULTS"), (AUTO, *FAMILIES)),
            nginx=read.switch(_both("NGINX"), True),
            access_log=read.switch(_both("ACCESS_LOG"), True),
            session_s=read.whole_number(_both("SESSION_SECONDS"), 1200, 1, 7 * 24 * 3600),
            multi_model=read.switch(["SAGEMAKER_MULTI_MODEL"], False),
            models_memory=read.whole_number(_both("MODELS_MEMORY_IN_MB"), 0, 1, 100_000_000) * MEGABYTE
            or memory_bytes() * 4 // 5,
            page=read.switch(_both("PAGE"), False),
            json_logs=environ.get("LOG_FORMAT", "").lower() == "json",
            batch_transform=batch if batch.lower() == "true" else "",
        )


def _both(name: str) -> list[str]:
    return [f"SAGEMAKER_MODEL_SERVER_{name}", f"MODEL_SERVER_{name}"]


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
