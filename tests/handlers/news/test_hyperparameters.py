"""The defaults of each architecture, and the checks of values."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import parse
from byo_container.handlers.news.hyperparameters import Hyperparameters


def read(**texts: str) -> Hyperparameters:
    return parse(Hyperparameters, texts, "hyperparameters.json")


def test_defaults_follow_the_architecture() -> None:
    assert asdict(read()) == {
        "architecture": "bag",
        "epochs": 8,
        "batch_size": None,
        "learning_rate": 0.4,
        "dense_learning_rate": 0.004,
        "vocabulary_size": 1 << 20,
        "embedding_size": 16,
        "units": 64,
        "layers": 1,
        "dropout": 0.5,
        "seed": 1,
    }
    rnn = read(architecture="rnn")
    assert (rnn.epochs, rnn.batch_size, rnn.learning_rate, rnn.units, rnn.layers) == (2, 32, 0.001, 32, 3)


@pytest.mark.parametrize("null", ["null", "None", "", '"null"'])
def test_null_is_the_default(null: str) -> None:
    assert read(epochs=null, layers="0") == read(layers="0")


def test_zero_is_no_null() -> None:
    assert (read(layers="0").layers, read(dropout="0").dropout) == (0, 0)


@pytest.mark.parametrize(("rows", "size"), [(5, 16), (6400, 100), (1_000_000, 1024)])
def test_default_batch_size_follows_the_number_of_headlines(rows: int, size: int) -> None:
    assert read().batch_size_for(rows) == size
    assert read(batch_size="7").batch_size_for(rows) == 7
    assert read(architecture="mlp").batch_size_for(rows) == 32


@pytest.mark.parametrize("text", ["0", "-1", "11", "fast"])
@pytest.mark.parametrize("name", ["learning_rate", "dense_learning_rate"])
def test_learning_rates_are_checked(name: str, text: str) -> None:
    with pytest.raises(JobError, match=f"{name} = '{text}' is not right: it must be a number, above 0 and at most 10"):
        read(**{name: text})


def test_dense_learning_rate_is_for_the_bag_only() -> None:
    assert read(**{"dense-learning-rate": "0.01"}).dense_learning_rate == 0.01
    with pytest.raises(JobError, match="dense_learning_rate is for architecture = bag; mlp has learning_rate only"):
        read(architecture="mlp", dense_learning_rate="0.01")


def test_rnn_needs_a_layer() -> None:
    with pytest.raises(JobError, match="layers = 0 is not right for architecture = rnn; it must be at least 1"):
        read(architecture="rnn", layers="0")
