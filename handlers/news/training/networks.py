"""The Keras networks: (batch, width) numbers of features → (batch, 4) probabilities of the categories.

Built of Keras's own layers and operations only, so that `news_breaker.keras` loads without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import numpy.typing as npt

from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.hyperparameters import Settings

if TYPE_CHECKING:
    from byo_container.handlers.news.preprocessing.features import Features

VECTORS = "vectors"  # the layer that holds the table
POOLED = "pooled"  # the layer at which the bag's training loop comes in


def build(
    settings: Settings, features: Features, name: str, vectors: npt.NDArray[np.float32] | None = None
) -> keras.Model:
    """The untrained network of `settings`, its random numbers from `settings.seed`.

    `vectors`: float32 (features.size, any width), the frozen table of mlp and rnn; random when None.
    """
    keras.utils.set_random_seed(settings.seed)
    if settings.architecture == "bag":
        return _bag(settings, features.size, name)
    table = _frozen_table(settings, features.size, vectors)
    ids = keras.Input((features.width,), dtype="int32", name="ids")
    body = _mlp if settings.architecture == "mlp" else _rnn
    hidden = body(table(ids), settings)
    if vectors is not None:
        table.set_weights([vectors])
    return keras.Model(ids, _categories(hidden), name=name)


def _bag(settings: Settings, size: int, name: str) -> keras.Model:
    """The sum of a headline's vectors, over the root of their number so that long headlines are not louder;
    then dense layers. Row 0 is zeros and stays so: padding adds nothing."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    table = keras.layers.Embedding(
        size, settings.embedding_size, embeddings_initializer=_from_seed(settings.seed), name=VECTORS
    )
    found = keras.ops.count_nonzero(ids, axis=1)
    scale = keras.ops.rsqrt(keras.ops.cast(keras.ops.maximum(found, 1), "float32"))
    pooled = keras.ops.sum(table(ids), axis=1) * keras.ops.expand_dims(scale, 1)
    pooled = keras.layers.Identity(name=POOLED)(pooled)
    network = keras.Model(ids, _categories(_dense(pooled, settings)), name=name)
    table.embeddings.assign(keras.ops.slice_update(table.embeddings, (0, 0), np.zeros((1, table.output_dim))))
    return network


def head_of(network: keras.Model) -> keras.Model:
    """The part of a bag behind the pooled vectors, sharing its weights: (batch, embedding) → (batch, 4)."""
    return keras.Model(network.get_layer(POOLED).output, network.output)


def _mlp(vectors: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    return _dense(keras.layers.Flatten()(vectors), settings)


def _rnn(vectors: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    hidden = keras.layers.Dropout(settings.dropout, seed=settings.seed)(vectors)
    for _ in range(settings.layers - 1):
        hidden = keras.layers.LSTM(settings.units, return_sequences=True)(hidden)
    return keras.layers.LSTM(settings.units)(hidden)


def _dense(hidden: keras.KerasTensor, settings: Settings) -> keras.KerasTensor:
    for _ in range(settings.layers):
        hidden = keras.layers.Dense(settings.units, activation="relu")(hidden)
    return hidden


def _categories(hidden: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Dense(len(NAMES), activation="softmax", name="categories")(hidden)


def _frozen_table(settings: Settings, size: int, vectors: npt.NDArray[np.float32] | None) -> keras.layers.Layer:
    return keras.layers.Embedding(
        size,
        settings.embedding_size if vectors is None else vectors.shape[1],
        embeddings_initializer=_from_seed(settings.seed),
        trainable=False,
        name=VECTORS,
    )


def _from_seed(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
