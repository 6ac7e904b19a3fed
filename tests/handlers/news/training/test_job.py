"""Training jobs: all architectures, their outputs, and how they stop and resume."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from byo_container.handlers.news import NewsClassifier
from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.preprocessing import dataset
from byo_container.handlers.news.training import checkpoints

ROOT = Path(__file__).resolve().parents[4]
DEMO = "Why Exercise Alone May Not Be the Key to Weight Loss"
HEADLINES = [DEMO, "Stocks fall on inflation fears", "Pearphone unveils tablet", "Rex Danger drops new album", "?"]

MakeJob = Callable[..., TrainingJob[Any]]


def test_importing_the_handler_is_light() -> None:
    heavy = "[name for name in ('numpy', 'keras', 'tensorflow', 'matplotlib') if name in sys.modules]"
    code = f"import sys, byo_container.handlers.news; sys.exit(str({heavy} or ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, "")


def test_default_architecture_learns_the_sample(model: Any) -> None:
    inputs = [{"input": HEADLINES[:4], "probabilities": True}]
    (output,) = NewsClassifier().predict(model, inputs)
    assert output["result"] == [NAMES[3], NAMES[0], NAMES[1], NAMES[2]]
    assert [sum(row.values()) for row in output["probabilities"]] == pytest.approx([1] * 4, abs=1e-5)


def test_job_writes_model_and_plots(trained: TrainingJob[Any]) -> None:
    assert sorted(path.suffix for path in trained.model_dir.iterdir()) == [".json", ".keras"]
    pictures = sorted(trained.output_data_dir.iterdir())
    assert [picture.name for picture in pictures] == ["confusion_matrix.png", "curves.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_prediction_does_not_depend_on_the_batch(model: Any) -> None:
    alone = [model.classify([headline])[0] for headline in HEADLINES]
    together = model.classify(HEADLINES * 500)
    assert len(together) == 2500
    for number, row in enumerate(together):
        assert row == pytest.approx(alone[number % len(HEADLINES)], abs=1e-6)


def test_function_is_traced_once_for_any_batch_size(model: Any) -> None:
    # A concrete function cannot trace; it would refuse what does not fit its signature.
    assert type(model._run).__name__ == "ConcreteFunction"
    for count in (1, 2, 3, 700):
        assert len(NewsClassifier().predict(model, ["a headline"] * count)) == count


@pytest.mark.parametrize("architecture", ["bag", "mlp", pytest.param("rnn", marks=pytest.mark.slow)])
def test_every_architecture_trains_and_loads(
    make_job: MakeJob, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(architecture=architecture, epochs=1, batch_size=100, vocabulary_size=500)
    NewsClassifier().train(job)
    printed = capsys.readouterr().out
    # The regexes of a SageMaker metric definition find one figure each.
    assert len(re.findall("val_acc=(.*?);", printed)) == 1
    assert 0 < float(re.findall("loss=(.*?);", printed)[0]) < 5
    assert len(re.findall("loss=(.*?);", printed)) == 1
    model = NewsClassifier().load(job.model_dir)
    # Serving feeds the network just as training did.
    features = model._features
    padded = features.encode([headline.encode() for headline in HEADLINES]).padded(features.width, features.align)
    expected = model._network(padded).numpy()
    for row, answer in zip(expected.tolist(), model.classify(HEADLINES), strict=True):
        assert answer == pytest.approx(row, abs=1e-6)


def test_same_seed_gives_same_model(make_job: MakeJob) -> None:
    answers = []
    for _ in range(2):
        job = make_job(epochs=1)
        NewsClassifier().train(job)
        answers.append(NewsClassifier().load(job.model_dir).classify(HEADLINES))
    assert answers[0] == answers[1]


def test_glove_vectors_become_the_frozen_table(make_job: MakeJob) -> None:
    job = make_job(architecture="mlp", epochs=1, units=8)
    (job.channel("training").path / "glove.tiny.txt").write_text("stocks 1 2 3\nunheard 4 5 6\n")
    NewsClassifier().train(job)
    model = NewsClassifier().load(job.model_dir)
    table = model._network.get_layer("vectors").get_weights()[0]
    assert table.shape[1] == 3
    assert table[model._features.ids("stocks")[0]].tolist() == [1, 2, 3]


def test_invalid_data_are_refused_and_keep_the_previous_model(make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    NewsClassifier().train(job)
    kept = {path: path.read_bytes() for path in job.model_dir.iterdir()}
    with pytest.raises(JobError, match=r"newsCorpora.csv, line 1: 3 tab-separated columns"):
        NewsClassifier().train(make_job(b"a\tb\tc\n"))
    assert {path: path.read_bytes() for path in job.model_dir.iterdir()} == kept


def test_rnn_without_layers_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(JobError, match="layers = 0 is not right for architecture = rnn"):
        NewsClassifier().train(make_job(architecture="rnn", layers=0))


def test_unwritable_model_folder_is_reported_before_training(make_job: MakeJob) -> None:
    job = make_job(b"never read")
    job.model_dir.rmdir()
    job.model_dir.write_text("not a folder")
    with pytest.raises(JobError, match=r"cannot write to .*/model: "):
        NewsClassifier().train(job)


@pytest.mark.parametrize("architecture", ["bag", "mlp"])
def test_interrupted_training_resumes_from_its_checkpoint(
    make_job: MakeJob, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(architecture=architecture, epochs=3)
    job.checkpoint_dir.mkdir()
    NewsClassifier().train(job)
    whole = NewsClassifier().load(job.model_dir).classify(HEADLINES)
    newest = job.checkpoint_dir / "checkpoint-000003.npz"
    newest.write_bytes(newest.read_bytes()[:1000])  # the platform had not wholly carried it
    capsys.readouterr()
    NewsClassifier().train(job)
    printed = capsys.readouterr().out
    assert "checkpoint-000003.npz cannot be read and is not used" in printed
    assert "going on after epoch 2" in printed
    assert len(re.findall("val_acc=(.*?);", printed)) == 3  # the curves begin at the beginning
    if architecture == "bag":  # Keras's fit shuffles by a generator of its own
        assert NewsClassifier().load(job.model_dir).classify(HEADLINES) == whole


def test_checkpoints_of_another_job_are_refused(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the job would report the model and the metrics of the other one as its own."""
    job = make_job(epochs=1)
    job.checkpoint_dir.mkdir()
    NewsClassifier().train(job)
    table = job.channel("training").path / "newsCorpora.csv"
    text = table.read_bytes()
    there = rf"the checkpoints in {job.checkpoint_dir} were made "
    with pytest.raises(JobError, match=rf"{there}from other headlines or categories \(data was .*empty the folder"):
        NewsClassifier().train(make_job(rotated(text), epochs=1))
    with pytest.raises(JobError, match=rf"{there}with another learning_rate \(learning_rate was 0.4, now 0.2\); empty"):
        NewsClassifier().train(make_job(text, epochs=1, learning_rate=0.2))
    with monkeypatch.context() as edited:
        edited.setattr(checkpoints, "PACKAGE", job.paths.root / "edited")
        with pytest.raises(JobError, match=rf"{there}by other code of the news handler"):
            NewsClassifier().train(make_job(text, epochs=1))
    # What decides nothing may differ: the file's name, and the columns that nobody reads.
    job = make_job(text.replace(b"http", b"https"), epochs=1, batch_size=16)
    table.rename(table.with_name("other.csv"))
    NewsClassifier().train(job)


NEXT = {b"b": b"t", b"t": b"e", b"e": b"m", b"m": b"b"}


def rotated(text: bytes) -> bytes:
    """The same headlines, every one of them in another category."""
    lines = [line.split(b"\t") for line in text.splitlines(keepends=True)]
    return b"".join(b"\t".join([*line[:4], NEXT[line[4]], *line[5:]]) for line in lines)


def test_vectors_are_part_of_the_run_identity(make_job: MakeJob) -> None:
    headlines = dataset.Headlines([b"a", b"b"], np.array([0, 1], np.int32))
    hyperparameters = make_job(architecture="mlp").hyperparameters
    vectors = np.ones((3, 2), np.float32)
    runs = [checkpoints.identify(hyperparameters, headlines, given) for given in (None, vectors, vectors * 2)]
    assert len({str(run["vectors"]) for run in runs}) == 3
    assert len({run["data"] for run in runs}) == 1


def test_metrics_from_a_checkpoint_are_marked(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(epochs=1)
    job.checkpoint_dir.mkdir()
    for at in ("epoch 1/1: loss=", "epoch 1/1 (from the checkpoint): loss="):
        NewsClassifier().train(job)
        assert [line for line in capsys.readouterr().out.splitlines() if "loss=" in line and line.startswith(at)]


def test_unused_vectors_are_logged(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(epochs=1)
    path = job.channel("training").path / "glove.6B.100d.txt"
    path.write_text("stocks 1 2 3\n")
    NewsClassifier().train(job)
    assert (
        f"{path} is not used: architecture bag learns its own vectors; mlp and rnn take it" in capsys.readouterr().out
    )


RUN = """
import sys
from pathlib import Path
from byo_container.container.failure import JobStopped
from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from byo_container.handlers.news import NewsClassifier
job = TrainingJob.read(Paths(Path(sys.argv[1]))).declare(NewsClassifier.Hyperparameters)
try:
    NewsClassifier().train(job)
except JobStopped as stopped:
    sys.exit(f"stopped {stopped}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bag", "mlp"])
def test_sigterm_saves_the_model_so_far(make_job: MakeJob, architecture: str) -> None:
    job = make_job(architecture=architecture, epochs=1000)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(job.paths.root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch 2/1000: loss"):
            process.send_signal(signal.SIGTERM)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search(r"stopped after epoch \d+ of 1000; the model so far is saved", errors)
    assert NewsClassifier().load(job.model_dir).classify(["Stocks fall"])


def test_dense_learning_rate_updates_the_dense_layers_only(make_job: MakeJob) -> None:
    from byo_container.handlers.news.training import networks

    job = make_job(epochs=1, dense_learning_rate=1e-9)
    NewsClassifier().train(job)
    model = NewsClassifier().load(job.model_dir)
    untrained = networks.build(job.hyperparameters, model._features, "untrained").get_weights()
    table, *dense = model._network.get_weights()
    assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(dense, untrained[1:], strict=True))
    assert not np.allclose(table, untrained[0], atol=1e-3)
