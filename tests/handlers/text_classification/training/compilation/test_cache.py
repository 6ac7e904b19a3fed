"""The compiler's cache file: what is checked before it is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from byo_container.handlers.text_classification.training.compilation import cache

KEY, CODE = "a" * 64, bytes(range(256)) * 9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cache.write(tmp_path / cache.FILE, KEY, CODE)
    return tmp_path / cache.FILE


def test_it_comes_back(path: Path) -> None:
    assert cache.read(path, KEY) == CODE
    assert os.listdir(path.parent) == [cache.FILE]


def test_without_a_file_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert cache.read(tmp_path / cache.FILE, KEY) is None


def test_that_of_another_job_or_processor_is_not_used(path: Path) -> None:
    assert cache.read(path, "b" * 64) == "it is of another PyTorch, processor or job"


def test_damage_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert cache.read(path, KEY) == "it was not copied completely"
    path.write_bytes(whole[:-1] + b"x")
    assert cache.read(path, KEY) == "it is damaged"


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b"\x80\x81", b'{"key": 1}\n', b"[" * 100_000])
def test_what_is_no_cache_is_not_used(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert isinstance(cache.read(path, KEY), str)


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    assert isinstance(cache.read(path, KEY), str)


def test_the_key_tells_jobs_precisions_and_processors_apart() -> None:
    pytest.importorskip("torch")
    given = ({"seed": 1}, "bf16", frozenset({"avx2"}), "")
    others = [
        cache.key({"seed": 2}, *given[1:]),
        cache.key(given[0], "fp32", *given[2:]),
        cache.key(*given[:2], frozenset({"avx512f"}), ""),
        cache.key(*given[:3], "NVIDIA A10G"),
    ]
    assert len({cache.key(*given), *others}) == 5


def test_artifacts_that_pytorch_cannot_read_are_not_loaded() -> None:
    pytest.importorskip("torch")
    assert not cache.load(b"nothing of PyTorch's")
