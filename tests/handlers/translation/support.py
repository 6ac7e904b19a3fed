"""Jobs on the sample's sentences: small networks, folders, and what a log says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.paths import Paths
from tests.support.tree import ONE_HOST, Tree

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


def finish(root: Path, text: Path, **hyperparameters: object) -> TrainingJob[Any]:
    """A job below `root` on the files in `text`, run to its end."""
    from byo_container.handlers.translation import Translation

    job = TrainingJob.read(make_tree_below(root, sorted(text.iterdir()), **hyperparameters).paths)
    Translation().train(job)
    return job


MODEL = {"checkpoint.pt", "codes", "dict.de.txt", "dict.en.txt", "translation.json"}
METRIC = re.compile(r"^update (\d+): ((?:\w+=[-+.\de]+; ?)+)$", re.MULTILINE)


def metrics(out: str) -> dict[str, list[float]]:
    """All figures in a log, by name."""
    found: dict[str, list[float]] = {}
    for _, figures in METRIC.findall(out):
        for name, value in re.findall(r"(\w+)=([-+.\de]+);", figures):
            found.setdefault(name, []).append(float(value))
    return found
