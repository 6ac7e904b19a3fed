"""Jobs on the sample's sentences, and what tests share: prepared text, and one trained model."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from byo_container.handlers.translation import sample
from tests.support import ONE_HOST, Tree

if not importlib.util.find_spec("fairseq"):
    pytest.skip("fairseq is not installed (EXTRAS=news,dev,translation make setup)", allow_module_level=True)

# Processes that share cores get in each other's way, and equal sums need equal threads.
os.environ["OMP_NUM_THREADS"] = "1"

PAIRS, VALID = 400, 30
SMALL: dict[str, object] = {
    "arch": "fconv_iwslt_de_en",
    "encoder_layers": "[(32, 3)] * 2",
    "decoder_layers": "[(32, 3)] * 2",
    "encoder_embed_dim": 32,
    "decoder_embed_dim": 32,
    "decoder_out_embed_dim": 32,
    "max_tokens": 600,
    "max_epoch": 2,
    "bpe_merges": 200,
    "log_interval": 5,
    "num_workers": 0,
    # Who has hardly learned anything never ends a sentence.
    "max_len_a": 0,
    "max_len_b": 12,
    "beam": 2,
}
"""A network that trains in a second."""
TRANSFORMER: dict[str, object] = {
    **{name: value for name, value in SMALL.items() if name != "decoder_out_embed_dim"},
    "arch": "transformer_iwslt_de_en",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_embed_dim": 32,
    "decoder_ffn_embed_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}

ABLE: dict[str, object] = {
    **SMALL,
    "optimizer": "adam",
    "lr": 0.004,
    "lr_scheduler": "fixed",
    "warmup_updates": 20,
    "dropout": 0.1,
    "encoder_embed_dim": 64,
    "decoder_embed_dim": 64,
    "decoder_out_embed_dim": 64,
    "encoder_layers": "[(64, 3)] * 2",
    "decoder_layers": "[(64, 3)] * 2",
    "bpe_merges": 300,
    "max_epoch": 8,
    "max_tokens": 1200,
    "max_len_b": 30,
    "beam": 5,
}
"""One that learns the grammar of 1,200 of the sample's pairs in ten seconds."""

MakeJob = Callable[..., TrainingJob[Any]]


def make_tree_below(root: Path, files: Iterable[Path], **hyperparameters: object) -> Tree:
    """/opt/ml as the platform would lay it out, with `files` in the channel `training`."""
    paths = Paths(root)
    channel = paths.data / "training"
    for folder in (paths.config, channel, paths.model, paths.output):
        folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        (channel / path.name).write_bytes(path.read_bytes())
    texts = {name: str(value) for name, value in hyperparameters.items()}
    paths.hyperparameters.write_text(json.dumps({"model_handler": "translation", **texts}))
    paths.input_data_config.write_text('{"training": {"TrainingInputMode": "File"}}')
    paths.resource_config.write_text(json.dumps(ONE_HOST))
    return Tree(root)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample's sentences."""
    folder = tmp_path_factory.mktemp("plain")
    sample.write(folder, PAIRS, VALID)
    return folder


@pytest.fixture(scope="session")
def ready(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, prepared."""
    from byo_container.handlers.translation.prepare import Recipe, prepare
    from byo_container.handlers.translation.preparing import corpus

    text = corpus.find(sorted(plain.iterdir()), "de", "en")
    return prepare(text, tmp_path_factory.mktemp("ready") / "text", Recipe(merges=200)).folder


@pytest.fixture
def make_job(tmp_path: Path, ready: Path) -> MakeJob:
    """Makes a job of a small network on the prepared text, or on `files`."""

    def make(files: Iterable[Path] | None = None, **hyperparameters: object) -> TrainingJob[Any]:
        files = sorted(ready.iterdir()) if files is None else files
        tree = make_tree_below(tmp_path / "ml", files, **{**SMALL, **hyperparameters})
        return TrainingJob.read(tree.paths)

    return make


def finish(root: Path, text: Path, **hyperparameters: object) -> TrainingJob[Any]:
    """A job below `root` on the files in `text`, run to its end."""
    from byo_container.handlers.translation import Translation

    job = TrainingJob.read(make_tree_below(root, sorted(text.iterdir()), **hyperparameters).paths)
    Translation().train(job)
    return job


@pytest.fixture(scope="session")
def trained(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob[Any]:
    """A finished job."""
    return finish(tmp_path_factory.mktemp("trained"), ready, **SMALL)


@pytest.fixture(scope="session")
def able(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a job that went on until it knew the sample's grammar: it translates, and ends its
    sentences. Takes ten seconds, so that processes which run tests side by side share it; nobody writes to it."""
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "able"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "finished").exists():
            sample.write(root / "plain", 1200, VALID)
            finish(root / "ml", root / "plain", **ABLE)
            (root / "finished").touch()
    return root / "ml/model"
