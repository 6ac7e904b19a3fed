"""A training job, from the channel to the saved model and its plots."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError, JobStopped
from byo_container.container.files.disk_errors import check_writable
from byo_container.container.job import TrainingJob
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import Progress, say
from byo_container.handlers.news import artifact
from byo_container.handlers.news.hyperparameters import Hyperparameters
from byo_container.handlers.news.preprocessing import dataset, glove
from byo_container.handlers.news.preprocessing.features import Features, NgramFeatures, Ragged, WordFeatures
from byo_container.handlers.news.training import checkpoints

CHANNEL = "training"


@dataclass(frozen=True)
class TrainingData:
    """The preprocessed channel."""

    headlines: dataset.Headlines
    split: dataset.Split
    features: Features
    encoded: Ragged
    vectors: npt.NDArray[np.float32] | None
    """GloVe's, for the embedding table."""


def run(job: TrainingJob[Hyperparameters]) -> None:
    """Trains the network that the job asks for and saves it in job.model_dir.

    On SIGTERM it stops before the next step, saves the model as it is and raises JobStopped. Raises JobError for
    invalid data and for folders that cannot be written to.
    """
    check_writable(job.model_dir)
    with StopFlag() as stop:
        _run(job, stop)


def _run(job: TrainingJob[Hyperparameters], stop: StopFlag) -> None:
    channel = job.channel(CHANNEL)
    headlines = dataset.read_channel(channel)
    hyperparameters = replace(job.hyperparameters, batch_size=job.hyperparameters.batch_size_for(len(headlines)))
    data = _preprocess(headlines, channel, hyperparameters)
    if stop.requested:
        raise JobStopped("before the first epoch; nothing was saved")
    if data.vectors is not None:
        hyperparameters = replace(hyperparameters, embedding_size=data.vectors.shape[1])
    run = checkpoints.identify(hyperparameters, headlines, data.vectors)
    checkpoints.refuse_checkpoints_of_others(job.checkpoint_dir, run)
    _train(job, hyperparameters, data, run, stop)


def _preprocess(headlines: dataset.Headlines, channel: Channel, hyperparameters: Hyperparameters) -> TrainingData:
    split = dataset.split(len(headlines))
    say(
        f"news classifier: {hyperparameters}\n{len(headlines):,} headlines, {len(split.training):,} to train on "
        f"and {len(split.validation):,} to validate with"
    )
    features = _features(headlines, hyperparameters)
    with Progress("encoding", len(headlines), "headlines") as progress:
        encoded = features.encode(headlines.titles, progress.advance)
    return TrainingData(headlines, split, features, encoded, _vectors(channel, features, hyperparameters))


def _train(
    job: TrainingJob[Hyperparameters],
    hyperparameters: Hyperparameters,
    data: TrainingData,
    run: dict[str, Any],
    stop: StopFlag,
) -> None:
    # TensorFlow is imported only here: bad data were refused long before.
    from byo_container.handlers.news.training import bag, fit, networks
    from byo_container.handlers.news.training.examples import BatchPredictor, Examples, Task
    from byo_container.handlers.news.training.metric_log import MetricLog

    is_bag, features = hyperparameters.architecture == "bag", data.features
    name = artifact.network_name(hyperparameters.architecture, features)
    network = networks.build(hyperparameters, features, name, data.vectors)
    examples = Examples(data.encoded, data.headlines.labels)
    task = Task(
        network,
        training=examples.take(data.split.training),
        validation=examples.take(data.split.validation),
        hyperparameters=hyperparameters,
        batch_size=hyperparameters.batch_size_for(len(data.headlines)),
        predict=BatchPredictor(network, None if is_bag else features.width, features.align),
    )
    train = bag.train if is_bag else fit.train
    metric_log = MetricLog(hyperparameters.epochs)
    train(task, metric_log, stop, checkpoints.TrainingCheckpoints(job.checkpoint_dir, run, metric_log))
    artifact.save(network, features, job.model_dir)
    say(f"saved {job.model_dir / artifact.NETWORK}")
    finished = len(metric_log.epochs)
    if finished < hyperparameters.epochs:
        raise JobStopped(f"after epoch {finished} of {hyperparameters.epochs}; the model so far is saved")

    from byo_container.handlers.news.training import plots

    probabilities = task.predict(task.validation.features)
    plots.draw(metric_log.epochs, probabilities, task.validation.labels, job.output_data_dir)


def _features(headlines: dataset.Headlines, hyperparameters: Hyperparameters) -> Features:
    if hyperparameters.architecture == "bag":
        return NgramFeatures(hyperparameters.vocabulary_size)
    # Counted in all titles, as in the workshop; their categories are not used.
    return WordFeatures.of(headlines.titles, hyperparameters.vocabulary_size)


def _vectors(channel: Channel, features: Features, hyperparameters: Hyperparameters) -> npt.NDArray[np.float32] | None:
    """GloVe vectors for the vocabulary, where the channel has a file of them and the network takes them."""
    path = glove.find(channel)
    if not isinstance(features, WordFeatures):
        if path is not None:
            architecture = hyperparameters.architecture
            say(f"{path} is not used: architecture {architecture} learns its own vectors; mlp and rnn take it")
        return None
    if path is None:
        width = hyperparameters.embedding_size
        say(f"no {glove.PATTERN} in the channel: the table of vectors is random, {width} wide")
        return None
    vectors, count = glove.read(path, features.vocabulary)
    if not count:
        raise JobError(
            f"{path} has none of the {len(features.vocabulary):,} words; is it in another language or encoding?"
        )
    say(f"{count:,} of {len(features.vocabulary):,} words have a vector in {path}, {vectors.shape[1]} wide")
    return vectors
