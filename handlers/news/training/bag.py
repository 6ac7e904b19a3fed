"""The training loop of the default architecture.

Keras's optimizers turn the gradient of a few rows of an embedding table into one of the whole table, a million rows in
every step. This loop gathers only the rows of the batch, sums them, and updates them by Adagrad (Duchi et al., 2011),
which suits rare features. The small dense layers behind the table are updated by Adam. Each time a headline is used a
share of its features is dropped at random, which prevents overfitting to the rare ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import Progress
from byo_container.handlers.news.training.checkpoints import TrainingCheckpoints
from byo_container.handlers.news.training.examples import Examples, Task
from byo_container.handlers.news.training.metric_log import EpochMetrics, MetricLog, loss_and_accuracy
from byo_container.handlers.news.training.networks import EMBEDDING, head_of

LABEL_SMOOTHING = 0.05  # near-copies of one headline have several categories: certainty should not pay
ADAGRAD_START = 0.1  # initial value of the accumulators
FINAL_RATE = 0.03  # the learning rate falls linearly to this share of itself

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def train(task: Task, metric_log: MetricLog, stop: StopFlag, checkpoints: TrainingCheckpoints) -> None:
    """Trains in place, until the last epoch or until `stop` is requested (checked before every step)."""
    hyperparameters, training, validation = task.hyperparameters, task.training, task.validation
    random = np.random.default_rng(hyperparameters.seed)
    assert hyperparameters.dense_learning_rate is not None  # bag has a default
    step, variables = make_step(task.network, hyperparameters.dense_learning_rate)
    epoch_steps = -(-len(training) // task.batch_size)
    steps = hyperparameters.epochs * epoch_steps
    finished_epochs = checkpoints.restore(variables, random)
    done = finished_epochs * epoch_steps
    for epoch in range(finished_epochs + 1, hyperparameters.epochs + 1):
        losses, hits = [], []
        with Progress(f"epoch {epoch}/{hyperparameters.epochs}", len(training), "headlines") as progress:
            for batch in _batches(training, task.batch_size, random):
                if stop.requested:
                    return
                rate = hyperparameters.learning_rate * (1 - (1 - FINAL_RATE) * done / steps)
                loss, hit = step(*_step_inputs(batch, hyperparameters.dropout, random), np.float32(rate))
                losses.append(loss)
                hits.append(hit)
                done += 1
                progress.advance(len(batch))
        loss, accuracy = (float(tf.add_n(sums)) / len(training) for sums in (losses, hits))
        probabilities = task.predict(validation.features)
        metric_log.add(EpochMetrics(loss, accuracy, *loss_and_accuracy(probabilities, validation.labels)))
        checkpoints.save(variables, random)


def _batches(examples: Examples, size: int, random: np.random.Generator) -> Iterator[Examples]:
    order = random.permutation(len(examples))
    for first in range(0, len(order), size):
        yield examples.take(order[first : first + size])


def _step_inputs(batch: Examples, dropout: float, random: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
    """The arguments of `step`: the table rows in the batch (int32, sorted, unique), the index of each feature among
    them (int32), the index of its headline (int32), the scale of each headline (float32), and the labels (int32)."""
    kept = random.random(len(batch.features.ids), dtype=np.float32) >= dropout
    rows, feature = np.unique(batch.features.ids[kept], return_inverse=True)
    lengths = batch.features.lengths
    owner = np.repeat(np.arange(len(batch), dtype=np.int32), lengths)[kept]
    scale = 1 / ((1 - dropout) * np.sqrt(np.maximum(lengths, 1)))
    return rows, feature.astype(np.int32), owner, scale.astype(np.float32), batch.labels


def make_step(network: keras.Model, dense_learning_rate: float) -> tuple[Step, list[Any]]:
    """One update of the network, and all variables that it changes. The update takes the output of `_step_inputs` and
    the table's learning rate; it returns the sum of the losses and the number of hits in the batch, float32 both."""
    table = network.get_layer(EMBEDDING).embeddings.value
    accumulators = tf.Variable(tf.fill(table.shape, ADAGRAD_START), trainable=False)
    head = head_of(network)
    optimizer = keras.optimizers.Adam(dense_learning_rate)
    optimizer.build(head.trainable_variables)
    ints, floats = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32)

    def step(
        rows: tf.Tensor, feature: tf.Tensor, owner: tf.Tensor, scale: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(labels)[0]
        vectors = tf.gather(table, rows)
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            sums = tf.sparse.segment_sum(vectors, feature, owner, num_segments=count)
            probabilities = head(sums * scale[:, None], training=True)
            one_hot = tf.one_hot(labels, probabilities.shape[1])
            losses = keras.losses.categorical_crossentropy(one_hot, probabilities, label_smoothing=LABEL_SMOOTHING)
            # Adam takes the mean over the batch. A row of the table occurs in few headlines, and takes the sum.
            mean = tf.reduce_mean(losses)
        of_rows, *of_head = tape.gradient(mean, [vectors, *head.trainable_variables])
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=table.handle,
            accum=accumulators.handle,
            lr=rate,
            epsilon=1e-7,
            grad=of_rows * tf.cast(count, tf.float32),
            indices=rows,
        )
        optimizer.apply(of_head, head.trainable_variables)
        hits = tf.equal(tf.argmax(probabilities, axis=1, output_type=tf.int32), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.float32))

    signature = [ints, ints, ints, floats, ints, tf.TensorSpec([], tf.float32)]
    variables = [*network.variables, accumulators, *optimizer.variables]
    return cast("Step", tf.function(step, input_signature=signature)), variables
