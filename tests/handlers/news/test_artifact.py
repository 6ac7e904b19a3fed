"""Saving replaces the model atomically; errors for a model that cannot be loaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import UNFINISHED, check_writable
from byo_container.handlers.news import artifact
from byo_container.handlers.news.hyperparameters import Hyperparameters
from byo_container.handlers.news.preprocessing.features import Features, NgramFeatures

IDS = np.array([[1, 2, 3]], np.int32)


def network_for(features: Features, seed: int = 1) -> Any:
    from byo_container.handlers.news.training import networks

    return networks.build(Hyperparameters(seed=seed), features, artifact.network_name("bag", features))


def probabilities_of(folder: Path) -> Any:
    return artifact.load(folder)[0](IDS).numpy()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    features = NgramFeatures(50)
    artifact.save(network_for(features), features, tmp_path)
    return tmp_path


def test_saved_model_is_loaded(saved: Path) -> None:
    network, features = artifact.load(saved)
    assert features.to_json() == {"kind": "ngrams", "size": 50}
    assert np.array_equal(network(IDS).numpy(), network_for(features)(IDS).numpy())
    assert len(list(saved.iterdir())) == 2


def test_saving_replaces_the_previous_model_and_vocabulary(saved: Path) -> None:
    (saved / f"{UNFINISHED}left.keras").write_text("by a killed run")
    features = NgramFeatures(60)
    artifact.save(network_for(features), features, saved)
    assert artifact.load(saved)[1].size == 60
    assert len(list(saved.iterdir())) == 2


@pytest.mark.parametrize("survives", [0, 1])
def test_kill_between_the_two_files_keeps_the_previous_model(
    saved: Path, survives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = probabilities_of(saved)
    put = artifact._put
    done: list[Path] = []

    def put_until_killed(unfinished: Path, path: Path) -> None:
        if len(done) == survives:
            raise KeyboardInterrupt
        done.append(path)
        put(unfinished, path)

    monkeypatch.setattr(artifact, "_put", put_until_killed)
    features = NgramFeatures(60)
    with pytest.raises(KeyboardInterrupt):
        artifact.save(network_for(features, seed=2), features, saved)
    assert np.array_equal(probabilities_of(saved), before)
    assert artifact.load(saved)[1].size == 50


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)  # noqa: S607
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607


def test_full_disk_is_reported_and_keeps_the_previous_model(tiny_disk: Path) -> None:
    small, large = NgramFeatures(50), NgramFeatures(100_000)
    artifact.save(network_for(small), small, tiny_disk)
    before = probabilities_of(tiny_disk)
    with pytest.raises(JobError, match=r"cannot write to .*disk: the disk is full; free some space"):
        artifact.save(network_for(large), large, tiny_disk)
    assert np.array_equal(probabilities_of(tiny_disk), before)
    assert len(list(tiny_disk.iterdir())) == 2


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=r"cannot write to .*file/model: .*; it should be a folder"):
        check_writable(tmp_path / "file" / "model")


def test_write_check_is_safe_for_concurrent_ranks(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as ranks:
        list(ranks.map(lambda _: check_writable(tmp_path), range(400)))
    assert not list(tmp_path.iterdir())


def test_missing_model_is_reported(tmp_path: Path) -> None:
    (tmp_path / "other.txt").touch()
    with pytest.raises(JobError, match=r"news_breaker.keras is missing.* holds other.txt"):
        artifact.load(tmp_path)


def test_truncated_network_is_reported(saved: Path) -> None:
    path = saved / artifact.NETWORK
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(JobError, match=r"news_breaker.keras cannot be loaded as a Keras model"):
        artifact.load(saved)


def test_missing_or_changed_vocabulary_is_reported(saved: Path) -> None:
    (vocabulary,) = saved.glob("vocabulary-*.json")
    vocabulary.write_text(vocabulary.read_text().replace("50", "51"))
    with pytest.raises(JobError, match=r"vocabulary-\w+.json has been changed"):
        artifact.load(saved)
    vocabulary.unlink()
    with pytest.raises(JobError, match=r"vocabulary-\w+.json is missing; .*news_breaker.keras was trained with it"):
        artifact.load(saved)
