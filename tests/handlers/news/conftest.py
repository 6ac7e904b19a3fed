"""Fixtures that the tests of news share: one trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from byo_container.container.job import TrainingJob
from byo_container.handlers.news import NewsClassifier
from tests.handlers.news.support import MakeJob, make_job_below


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    return lambda data=None, **hyperparameters: make_job_below(tmp_path, data, **hyperparameters)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob[Any]:
    """A finished job of the default architecture."""
    job = make_job_below(tmp_path_factory.mktemp("trained"), None, epochs=4)
    NewsClassifier().train(job)
    return job


@pytest.fixture(scope="session")
def model(trained: TrainingJob[Any]) -> Any:
    return NewsClassifier().load(trained.model_dir)
