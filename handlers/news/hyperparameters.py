"""The news classifier's hyperparameters, and what each means where a job does not say. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import Range

Architecture = Literal["bag", "mlp", "rnn"]


@dataclass(frozen=True)
class Hyperparameters:
    """What a job may set. None stands for the architecture's own default, see DEFAULTS.

    architecture     bag: words, their beginnings and pairs, hashed and averaged (the best and the fastest);
                     mlp, rnn: the networks of the AWS workshop.
    vocabulary_size  rows of the table of vectors: hash buckets (bag) or the most frequent words (mlp, rnn).
    embedding_size   numbers in each vector; mlp and rnn take it from GloVe vectors in the channel, if any.
    units, layers    width and number of the hidden layers (dense; LSTM for rnn).
    dropout          share of a headline's features (bag) or of the vectors' numbers (rnn) left out at a time.
    """

    architecture: Architecture = "bag"
    epochs: Annotated[int, Range(1, 1000)] | None = None
    batch_size: Annotated[int, Range(1, 65536)] | None = None
    learning_rate: Annotated[float, Range(0, 10, above=True)] | None = None
    vocabulary_size: Annotated[int, Range(2, 1 << 26)] | None = None
    embedding_size: Annotated[int, Range(1, 1024)] | None = None
    units: Annotated[int, Range(1, 4096)] | None = None
    layers: Annotated[int, Range(0, 8)] | None = None
    dropout: Annotated[float, Range(0, 0.95)] | None = None
    seed: Annotated[int, Range(0, 2**31 - 1)] = 1


@dataclass(frozen=True)
class Settings:
    """Hyperparameters with nothing left open."""

    architecture: Architecture
    epochs: int
    batch_size: int
    learning_rate: float
    vocabulary_size: int
    embedding_size: int
    units: int
    layers: int
    dropout: float
    seed: int

    @classmethod
    def of(cls, given: Hyperparameters, rows: int) -> Settings:
        """Where a job does not say, the architecture's defaults for that many headlines. Raises JobError
        where what it says does not go together."""
        if given.architecture == "rnn" and given.layers == 0:
            raise JobError("layers = 0 is not right for architecture = rnn; it must be at least 1")
        said = {name: value for name, value in asdict(given).items() if value is not None}
        if given.architecture == "bag":
            # Few headlines still need a few hundred steps.
            said.setdefault("batch_size", min(LARGEST_BATCH, max(SMALLEST_BATCH, rows // STEPS_AT_LEAST)))
        return cls(**{**DEFAULTS[given.architecture], **said})

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in asdict(self).items())


SMALLEST_BATCH, LARGEST_BATCH = 16, 1024  # of the bag, by default
STEPS_AT_LEAST = 64  # in an epoch

_WORKSHOP: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.001,
    "vocabulary_size": 10_000,
    "embedding_size": 100,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "bag": {
        "epochs": 8,
        "learning_rate": 0.4,
        "vocabulary_size": 1 << 20,
        "embedding_size": 16,
        "units": 64,
        "layers": 1,
        "dropout": 0.5,
    },
    "mlp": {**_WORKSHOP, "units": 2, "layers": 1, "dropout": 0.0},
    "rnn": {**_WORKSHOP, "units": 32, "layers": 3, "dropout": 0.5},
}
