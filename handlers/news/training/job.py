"""The life of a training job, from the channel to the saved model and its pictures."""

from __future__ import annotations

from dataclasses import replace
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
from byo_container.handlers.news.hyperparameters import Hyperparameters, Settings
from byo_container.handlers.news.preprocessing import dataset, glove
from byo_container.handlers.news.preprocessing.features import Features, NgramFeatures, Ragged, WordFeatures
from byo_container.handlers.news.training import checkpoints

CHANNEL = "training"


def run(job: TrainingJob[Hyperparameters]) -> None:
    """Trains the network that the job asks for and saves it in job.model_dir.

    On SIGTERM it stops before the next step, saves the model as it is and raises JobStopped. Raises JobError
    for bad data and for folders that cannot be written to.
    """
    check_writable(job.model_dir)
    with StopFlag() as stop:
        _run(job, stop)


def _run(job: TrainingJob[Hyperparameters], stop: StopFlag) -> None:
    channel = job.channel(CHANNEL)
    headlines = dataset.read_channel(channel)
    split = dataset.split(len(headlines))
    settings = Settings.of(job.hyperparameters, len(headlines))
    say(
        f"news classifier: {settings}\n{len(headlines):,} headlines, {len(split.training):,} to train on "
        f"and {len(split.validation):,} to validate with"
    )
    features = _features(headlines, settings)
    encoded = _encode(headlines, features)
    vectors = _vectors(channel, features, settings)
    if stop.requested:
        raise JobStopped("before the first epoch; nothing was saved")
    settings = settings if vectors is None else replace(settings, embedding_size=vectors.shape[1])
    run = checkpoints.identify(settings, headlines, vectors)
    checkpoints.refuse_others_in(job.checkpoint_dir, run)
    _train(job, settings, features, vectors, encoded, headlines.labels, split, stop, run)


def _train(
    job: TrainingJob[Hyperparameters],
    settings: Settings,
    features: Features,
    vectors: npt.NDArray[np.float32] | None,
    encoded: Ragged,
    labels: npt.NDArray[np.int32],
    split: dataset.Split,
    stop: StopFlag,
    run: dict[str, Any],
) -> None:
    # Only here is TensorFlow imported: bad data have been refused long before.
    from byo_container.handlers.news.training import bag, fit, networks
    from byo_container.handlers.news.training.examples import Answerer, Examples, Task
    from byo_container.handlers.news.training.metric_log import Journal

    network = networks.build(settings, features, artifact.network_name(settings.architecture, features), vectors)
    examples = Examples(encoded, labels)
    task = Task(
        network,
        training=examples.take(split.training),
        validation=examples.take(split.validation),
        settings=settings,
        answer=Answerer(network, None if settings.architecture == "bag" else features.width, features.align),
    )
    loop = bag.train if settings.architecture == "bag" else fit.train
    journal = Journal(settings.epochs)
    loop(task, journal, stop, checkpoints.Resuming(job.checkpoint_dir, run, journal))
    artifact.save(network, features, job.model_dir)
    say(f"saved {job.model_dir / artifact.NETWORK}")
    if len(journal.epochs) < settings.epochs:
        raise JobStopped(f"after epoch {len(journal.epochs)} of {settings.epochs}; the model so far is saved")

    from byo_container.handlers.news.training import plots

    answers = task.answer(task.validation.features)
    plots.draw(journal.epochs, answers, task.validation.labels, job.output_data_dir)


def _features(headlines: dataset.Headlines, settings: Settings) -> Features:
    if settings.architecture == "bag":
        return NgramFeatures(settings.vocabulary_size)
    # As the workshop does, of all titles; they are counted without a look at their categories.
    return WordFeatures.of(headlines.titles, settings.vocabulary_size)


def _encode(headlines: dataset.Headlines, features: Features) -> Ragged:
    with Progress("encoding", len(headlines), "headlines") as progress:
        return features.encode(headlines.titles, progress.advance)


def _vectors(channel: Channel, features: Features, settings: Settings) -> Any:
    """GloVe's vectors for the vocabulary, where the channel has a file of them and the network takes them."""
    path = glove.find(channel)
    if not isinstance(features, WordFeatures):
        if path is not None:
            say(f"{path} is not used: architecture {settings.architecture} learns its own vectors; mlp and rnn take it")
        return None
    if path is None:
        say(f"no {glove.PATTERN} in the channel: the table of vectors is random, {settings.embedding_size} wide")
        return None
    vectors, found = glove.read(path, features.vocabulary)
    if not found:
        raise JobError(
            f"{path} has none of the {len(features.vocabulary):,} words; is it in another language or encoding?"
        )
    say(f"{found:,} of {len(features.vocabulary):,} words have a vector in {path}, {vectors.shape[1]} wide")
    return vectors
