"""The Keras networks: (batch, width) numbers of features → (batch, 4) probabilities of the categories.

They consist of Keras's own layers and operations, so that `news_breaker.keras` loads without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import numpy.typing as npt

from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from byo_container.handlers.news.preprocessing.features import Features

EMBEDDING = "vectors"  # the layer with the embedding table
POOLED = "pooled"  # the layer where the head of a bag begins


def build(
    hyperparameters: Hyperparameters, features: Features, name: str, vectors: npt.NDArray[np.float32] | None = None
) -> keras.Model:
    """The untrained network, initialised from `hyperparameters.seed`.

    `vectors`: float32 (features.size, any width), the frozen table of mlp and rnn; random when None.
    """
    keras.utils.set_random_seed(hyperparameters.seed)
    if hyperparameters.architecture == "bag":
        return _bag(hyperparameters, features.size, name)
    table = _frozen_table(hyperparameters, features.size, vectors)
    ids = keras.Input((features.width,), dtype="int32", name="ids")
    body = _mlp if hyperparameters.architecture == "mlp" else _rnn
    hidden = body(table(ids), hyperparameters)
    if vectors is not None:
        table.set_weights([vectors])
    return keras.Model(ids, _categories(hidden), name=name)


def _bag(hyperparameters: Hyperparameters, size: int, name: str) -> keras.Model:
    """The sum of a headline's vectors divided by the root of their number, so that long headlines do not weigh more;
    then dense layers. Row 0, padding, is zeros and stays so."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    table = keras.layers.Embedding(
        size, hyperparameters.embedding_size, embeddings_initializer=_from_seed(hyperparameters.seed), name=EMBEDDING
    )
    count = keras.ops.count_nonzero(ids, axis=1)
    scale = keras.ops.rsqrt(keras.ops.cast(keras.ops.maximum(count, 1), "float32"))
    pooled = keras.ops.sum(table(ids), axis=1) * keras.ops.expand_dims(scale, 1)
    pooled = keras.layers.Identity(name=POOLED)(pooled)
    network = keras.Model(ids, _categories(_dense(pooled, hyperparameters)), name=name)
    table.embeddings.assign(keras.ops.slice_update(table.embeddings, (0, 0), np.zeros((1, table.output_dim))))
    return network


def head_of(network: keras.Model) -> keras.Model:
    """The part of a bag behind the pooled vectors, sharing its weights: (batch, embedding) → (batch, 4)."""
    return keras.Model(network.get_layer(POOLED).output, network.output)


def _mlp(vectors: keras.KerasTensor, hyperparameters: Hyperparameters) -> keras.KerasTensor:
    return _dense(keras.layers.Flatten()(vectors), hyperparameters)


def _rnn(vectors: keras.KerasTensor, hyperparameters: Hyperparameters) -> keras.KerasTensor:
    hidden = keras.layers.Dropout(hyperparameters.dropout, seed=hyperparameters.seed)(vectors)
    for _ in range(hyperparameters.layers - 1):
        hidden = keras.layers.LSTM(hyperparameters.units, return_sequences=True)(hidden)
    return keras.layers.LSTM(hyperparameters.units)(hidden)


def _dense(hidden: keras.KerasTensor, hyperparameters: Hyperparameters) -> keras.KerasTensor:
    for _ in range(hyperparameters.layers):
        hidden = keras.layers.Dense(hyperparameters.units, activation="relu")(hidden)
    return hidden


def _categories(hidden: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Dense(len(NAMES), activation="softmax", name="categories")(hidden)


def _frozen_table(
    hyperparameters: Hyperparameters, size: int, vectors: npt.NDArray[np.float32] | None
) -> keras.layers.Layer:
    return keras.layers.Embedding(
        size,
        hyperparameters.embedding_size if vectors is None else vectors.shape[1],
        embeddings_initializer=_from_seed(hyperparameters.seed),
        trainable=False,
        name=EMBEDDING,
    )


def _from_seed(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
