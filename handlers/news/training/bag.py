"""The default architecture's training loop.

Keras's optimizers turn the gradient of a table's few rows into one of the whole table, a million rows at every
step. Here only the rows that a batch holds are gathered, summed, and updated by Adagrad (Duchi et al., 2011),
which suits features that are rare; the small dense layers behind them learn by Adam. A share of each headline's
features is left out at random each time they are seen, which is what keeps rare ones from being learned by heart.
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
from byo_container.handlers.news.training.checkpoints import Resuming
from byo_container.handlers.news.training.examples import Examples, Task
from byo_container.handlers.news.training.metric_log import Journal, Measures, measure
from byo_container.handlers.news.training.networks import VECTORS, head_of

LABEL_SMOOTHING = 0.05  # near-copies of one headline are in several categories: certainty is not rewarded
DENSE_LEARNING_RATE = 0.004  # Adam's, for the layers behind the table
ADAGRAD_START = 0.1  # of the sums of squares
LAST_RATE = 0.03  # the learning rate falls in a line to this share of it

Step = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def train(task: Task, journal: Journal, stop: StopFlag, resuming: Resuming) -> None:
    """Trains in place until the epochs are done or `stop` is requested (looked at before every step)."""
    settings, training, validation = task.settings, task.training, task.validation
    random = np.random.default_rng(settings.seed)
    step, variables = make_step(task.network)
    epoch_steps = -(-len(training) // settings.batch_size)
    steps = settings.epochs * epoch_steps
    past = resuming.restore(variables, random)
    done = past * epoch_steps
    for epoch in range(past + 1, settings.epochs + 1):
        losses, hits = [], []
        with Progress(f"epoch {epoch}/{settings.epochs}", len(training), "headlines") as progress:
            for batch in _batches(training, settings.batch_size, random):
                if stop.requested:
                    return
                rate = settings.learning_rate * (1 - (1 - LAST_RATE) * done / steps)
                loss, hit = step(*_inputs(batch, settings.dropout, random), np.float32(rate))
                losses.append(loss)
                hits.append(hit)
                done += 1
                progress.advance(len(batch))
        loss, accuracy = (float(tf.add_n(sums)) / len(training) for sums in (losses, hits))
        answers = task.answer(validation.features)
        journal.note(Measures(loss, accuracy, *measure(answers, validation.labels)))
        resuming.save(variables, random)


def _batches(examples: Examples, size: int, random: np.random.Generator) -> Iterator[Examples]:
    order = random.permutation(len(examples))
    for first in range(0, len(order), size):
        yield examples.take(order[first : first + size])


def _inputs(batch: Examples, dropout: float, random: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
    """A batch for `step`: the table's rows that occur (int32, sorted, each once), which of them each feature
    is (int32), whose headline it belongs to (int32), each headline's factor (float32) and label (int32)."""
    kept = random.random(len(batch.features.ids), dtype=np.float32) >= dropout
    rows, feature = np.unique(batch.features.ids[kept], return_inverse=True)
    lengths = batch.features.lengths
    owner = np.repeat(np.arange(len(batch), dtype=np.int32), lengths)[kept]
    scale = 1 / ((1 - dropout) * np.sqrt(np.maximum(lengths, 1)))
    return rows, feature.astype(np.int32), owner, scale.astype(np.float32), batch.labels


def make_step(network: keras.Model) -> tuple[Step, list[Any]]:
    """One update of the network, and all variables that updates change. The update takes what `_inputs` makes and
    the learning rate; it gives the batch's sums of losses and of right answers, float32 both."""
    table = network.get_layer(VECTORS).embeddings.value
    squares = tf.Variable(tf.fill(table.shape, ADAGRAD_START), trainable=False)
    head = head_of(network)
    optimizer = keras.optimizers.Adam(DENSE_LEARNING_RATE)
    optimizer.build(head.trainable_variables)
    whole, real = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32)

    def step(
        rows: tf.Tensor, feature: tf.Tensor, owner: tf.Tensor, scale: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(labels)[0]
        vectors = tf.gather(table, rows)
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            sums = tf.sparse.segment_sum(vectors, feature, owner, num_segments=count)
            answers = head(sums * scale[:, None], training=True)
            wanted = tf.one_hot(labels, answers.shape[1])
            losses = keras.losses.categorical_crossentropy(wanted, answers, label_smoothing=LABEL_SMOOTHING)
            # The mean suits Adam; the table's rows occur in few headlines, and take their sum.
            mean = tf.reduce_mean(losses)
        of_rows, *of_head = tape.gradient(mean, [vectors, *head.trainable_variables])
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=table.handle,
            accum=squares.handle,
            lr=rate,
            epsilon=1e-7,
            grad=of_rows * tf.cast(count, tf.float32),
            indices=rows,
        )
        optimizer.apply(of_head, head.trainable_variables)
        right = tf.equal(tf.argmax(answers, axis=1, output_type=tf.int32), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.float32))

    signature = [whole, whole, whole, real, whole, tf.TensorSpec([], tf.float32)]
    variables = [*network.variables, squares, *optimizer.variables]
    return cast("Step", tf.function(step, input_signature=signature)), variables
