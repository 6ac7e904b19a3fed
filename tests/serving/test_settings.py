"""What the environment says: both families of names, which one wins, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.serving.devices import default_workers
from byo_container.serving.models import execution_parameters
from byo_container.serving.settings import MEGABYTE, Settings, folder_bytes


def settings(**environ: str) -> Settings:
    return Settings.from_environment(environ)


def test_defaults() -> None:
    found = settings()
    assert (found.port, found.timeout_s, found.startup_timeout_s) == (8080, 60, 600)
    assert (found.max_payload, found.default_accept) == (25 * MEGABYTE, "application/json")
    assert found.access_log
    assert found.nginx
    assert not found.json_logs
    assert 1 <= found.workers <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "9000", "port", 9000),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "3", "workers", 3),
        ("MODEL_SERVER_WORKERS", " 3 ", "workers", 3),
        ("MODEL_SERVER_THREADS", "4", "threads", 4),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "7", "timeout_s", 7),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "7", "timeout_s", 7),
        ("MODEL_SERVER_TIMEOUT_SECONDS", "7", "timeout_s", 7),
        ("MODEL_SERVER_TIMEOUT", "7", "timeout_s", 7),
        ("SAGEMAKER_STARTUP_TIMEOUT", "5", "startup_timeout_s", 5),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "100", "max_payload", 100 * MEGABYTE),
        ("MODEL_SERVER_BATCH_SIZE", "8", "batch_size", 8),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv", "default_accept", "text/csv"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "", "default_accept", "application/json"),
        ("MODEL_SERVER_ACCESS_LOG", "off", "access_log", False),
        ("SAGEMAKER_MODEL_SERVER_ACCESS_LOG", "False", "access_log", False),
        ("MODEL_SERVER_NGINX", "off", "nginx", False),
        ("LOG_FORMAT", "JSON", "json_logs", True),
        ("SAGEMAKER_BATCH", "true", "batch_transform", "true"),
        ("SAGEMAKER_BATCH", "True", "batch_transform", "True"),
        ("SAGEMAKER_BATCH", "false", "batch_transform", ""),
    ],
)
def test_a_variable_sets_its_field(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(settings(**{name: value}), field) == expected


@pytest.mark.parametrize(
    ("winner", "loser", "field"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "MODEL_SERVER_WORKERS", "workers"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "timeout_s"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "MODEL_SERVER_TIMEOUT", "timeout_s"),
    ],
)
def test_sagemakers_own_name_wins(winner: str, loser: str, field: str) -> None:
    assert getattr(settings(**{loser: "9", winner: "5"}), field) == 5
    assert getattr(settings(**{loser: "9", winner: ""}), field) == 9


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("MODEL_SERVER_WORKERS", "two", "whole number, at least 1 and at most 1024"),
        ("MODEL_SERVER_WORKERS", "0", "at least 1"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "1.5", "whole number"),
        ("SAGEMAKER_BIND_TO_PORT", "65536", "at most 65535"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1", "at least 1"),
        ("MODEL_SERVER_ACCESS_LOG", "maybe", "true or false"),
        ("MODEL_SERVER_NGINX", "no?", "true or false"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_is_right(name: str, value: str, wanted: str) -> None:
    with pytest.raises(JobError) as caught:
        settings(**{name: value})
    for part in (name, repr(value), wanted):
        assert part in str(caught.value)


def test_a_model_larger_than_the_memory_still_gets_one_worker() -> None:
    assert default_workers(model_bytes=2**60) == 1


def test_folder_bytes_counts_files_at_any_depth_and_no_broken_links(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"12345")
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "broken").symlink_to("nowhere")
    assert folder_bytes(tmp_path) == 8
    assert folder_bytes(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    ("megabytes", "workers", "expected"), [("6", "8", 8), ("25", "8", 4), ("100", "8", 1), ("500", "8", 1)]
)
def test_batch_transform_stays_within_100_mb(megabytes: str, workers: str, expected: int) -> None:
    found = execution_parameters.parameters(
        settings(SAGEMAKER_MAX_PAYLOAD_IN_MB=megabytes, MODEL_SERVER_WORKERS=workers), {}
    )
    assert found["MaxConcurrentTransforms"] == expected
    assert found["MaxPayloadInMB"] == min(int(megabytes), 100)


@pytest.mark.parametrize(("batch", "named"), [("", True), ("true", True), ("True", False)])
def test_the_sdks_local_mode_is_not_told_a_strategy_that_it_fails_on(batch: str, named: bool) -> None:
    assert ("BatchStrategy" in execution_parameters.parameters(settings(SAGEMAKER_BATCH=batch), {})) is named
