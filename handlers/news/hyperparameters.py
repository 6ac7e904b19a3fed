"""The news classifier's hyperparameters, with the defaults of each architecture. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import Range

Architecture = Literal["bag", "mlp", "rnn"]
SMALLEST_BATCH, LARGEST_BATCH = 16, 1024  # of the default batch size of `bag`
MIN_STEPS = 64  # in an epoch; few headlines still need a few hundred steps


def _by_architecture(bag: Any = None, mlp: Any = None, rnn: Any = None) -> Any:
    """A field whose default depends on the architecture."""
    return field(default=None, metadata={"bag": bag, "mlp": mlp, "rnn": rnn})


@dataclass(frozen=True)
class Hyperparameters:
    """What a job may set; a value that is left out, or null, is the default of the architecture.

    architecture         bag: words, their prefixes and pairs, hashed and averaged (the best and the fastest);
                         mlp, rnn: the networks of the AWS workshop.
    epochs, batch_size   batch_size of bag follows the number of headlines, see `batch_size_for`.
    learning_rate        bag: of Adagrad, which updates the embedding table; mlp, rnn: of RMSprop, which updates the
                         whole network but its frozen table.
    dense_learning_rate  bag only: of Adam, which updates the dense layers behind the table.
    vocabulary_size      rows of the embedding table: hash buckets (bag) or the most frequent words (mlp, rnn).
    embedding_size       width of the table; mlp and rnn take it from GloVe vectors in the channel, if there are any.
    units, layers        width and number of the hidden layers (dense; LSTM for rnn).
    dropout              share of a headline's features (bag) or of the embedding's values (rnn) that is dropped.
    seed                 of all random numbers.
    """

    architecture: Architecture = "bag"
    epochs: Annotated[int, Range(1, 1000)] = _by_architecture(bag=8, mlp=2, rnn=2)
    batch_size: Annotated[int, Range(1, 65536)] | None = _by_architecture(mlp=32, rnn=32)
    learning_rate: Annotated[float, Range(0, 10, above=True)] = _by_architecture(bag=0.4, mlp=0.001, rnn=0.001)
    dense_learning_rate: Annotated[float, Range(0, 10, above=True)] | None = _by_architecture(bag=0.004)
    vocabulary_size: Annotated[int, Range(2, 1 << 26)] = _by_architecture(bag=1 << 20, mlp=10_000, rnn=10_000)
    embedding_size: Annotated[int, Range(1, 1024)] = _by_architecture(bag=16, mlp=100, rnn=100)
    units: Annotated[int, Range(1, 4096)] = _by_architecture(bag=64, mlp=2, rnn=32)
    layers: Annotated[int, Range(0, 8)] = _by_architecture(bag=1, mlp=1, rnn=3)
    dropout: Annotated[float, Range(0, 0.95)] = _by_architecture(bag=0.5, mlp=0.0, rnn=0.5)
    seed: Annotated[int, Range(0, 2**31 - 1)] = 1

    def __post_init__(self) -> None:
        """Fills in the defaults. Raises JobError for values that do not go together."""
        if self.architecture != "bag" and self.dense_learning_rate is not None:
            raise JobError(f"dense_learning_rate is for architecture = bag; {self.architecture} has learning_rate only")
        for one in fields(self):
            if getattr(self, one.name) is None:
                object.__setattr__(self, one.name, one.metadata[self.architecture])
        if self.architecture == "rnn" and self.layers == 0:
            raise JobError("layers = 0 is not right for architecture = rnn; it must be at least 1")

    def batch_size_for(self, rows: int) -> int:
        """`batch_size`, or the default of bag for that many headlines."""
        return self.batch_size or min(LARGEST_BATCH, max(SMALLEST_BATCH, rows // MIN_STEPS))

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in asdict(self).items() if value is not None)
