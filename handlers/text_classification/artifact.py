"""The model folder: config.json, model.safetensors and the tokenizer's files, as `save_pretrained` writes them, and
model_int8.onnx where quantization.py has made it.

The labels' names are in config.json (id2label), the longest text in tokens in tokenizer_config.json (model_max_length).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.env_reader import EnvReader
from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import UNFINISHED, disk_errors_explained
from byo_container.handlers.text_classification import model_parts, pretrained
from byo_container.handlers.text_classification.training import quiet

ALLOW_PICKLE = "MODEL_ALLOW_PICKLE"
INT8 = "model_int8.onnx"
ENDPOINT = pretrained.Advice(
    f"the environment variable {ALLOW_PICKLE}=true", "bring its files in /opt/ml/model", "HF_MODEL_ID"
)
TASKS = ("text-classification", "sentiment-analysis")


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the model into `folder`, in single precision. Raises JobError where it cannot be written: then the model
    that was there before stays. A kill while files are put into place leaves a folder without config.json, which is no
    model, rather than one with files of two models."""
    folder.mkdir(parents=True, exist_ok=True)
    with disk_errors_explained(folder):
        for left in folder.glob(f"{UNFINISHED}*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
        try:
            _write(model, tokenizer, building)
            for path in sorted(building.iterdir()):
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            for name in (pretrained.CONFIG, INT8):
                (folder / name).unlink(missing_ok=True)
            for path in sorted(building.iterdir(), key=lambda path: path.name == pretrained.CONFIG):
                _put(path, folder / path.name)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _put(path: Path, place: Path) -> None:
    path.replace(place)


def _write(model: Any, tokenizer: Any, folder: Path) -> None:
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)


def save_weights(model: Any, folder: Path) -> None:
    """By save_pretrained. Raises OSError, or RuntimeError with the system's error in its message."""
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # neither of them
        raise RuntimeError(str(error)) from error


@dataclass(frozen=True)
class Classifier:
    """A model's folder, or a name of the hub. The weights are loaded only by `model`."""

    source: str
    allow_pickle: bool
    config: Any
    tokenizer: Any
    max_length: int
    """Tokens of a text, at most."""

    def model(self) -> Any:
        """Transformers' model, in single precision. Raises JobError where it is damaged, or no classifier."""
        with pretrained.explained(self.source, self.allow_pickle, ENDPOINT):
            from transformers import AutoModelForSequenceClassification

            model, info = AutoModelForSequenceClassification.from_pretrained(
                self.source,
                config=self.config,
                use_safetensors=None if self.allow_pickle else True,
                dtype="float32",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # otherwise its message has no names
                trust_remote_code=False,
            )
        if missing := sorted(info["missing_keys"]):
            architecture = (self.config.architectures or ["a model without a name"])[0]
            raise JobError(
                f"{self.source} is no classifier of texts: it holds {architecture}, and lacks "
                f"{', '.join(missing[:4])}; fine-tune it with `train`, or bring what save_pretrained of a "
                "…ForSequenceClassification writes"
            )
        model_parts.check_weights(self.source, model, info)
        return model


def load(folder: Path, environ: Mapping[str, str] = os.environ) -> Classifier:
    """The classifier that `save`, or Transformers' `save_pretrained`, left in `folder`; where that has no config.json,
    the one that HF_MODEL_ID names, a path or a name of the hub. Raises JobError that says what is missing."""
    source, allow_pickle = source_of(folder, environ), EnvReader(environ).switch(ALLOW_PICKLE, False)
    if pretrained.is_folder(source):
        pretrained.check_files(Path(source), allow_pickle, ENDPOINT)
    quiet.silence_transformers()
    with pretrained.explained(source, allow_pickle, ENDPOINT):
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        pretrained.check_family(source, config)
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        pretrained.give_padding(tokenizer, config)
    longest = pretrained.model_limit(tokenizer, config) or pretrained.DEFAULT_LENGTH
    model_parts.check_length(source, tokenizer, longest)
    model_parts.check_vocabulary(source, tokenizer, getattr(config, "vocab_size", None))
    return Classifier(source, allow_pickle, config, tokenizer, longest)


def source_of(folder: Path, environ: Mapping[str, str]) -> str:
    """A folder, or a name of the hub. Raises JobError."""
    task = environ.get("HF_TASK") or TASKS[0]
    if task not in TASKS:
        raise JobError(f"HF_TASK is {task!r}, and the handler text_classification does {' or '.join(TASKS)} alone")
    if (folder / pretrained.CONFIG).is_file():
        return str(folder)
    name = environ.get("HF_MODEL_ID", "").strip()
    weights = [each for each in (*pretrained.SAFE, *pretrained.PICKLED) if (folder / each).exists()]
    if weights:  # another model in its place would answer as if it were this one
        raise JobError(
            f"{folder / pretrained.CONFIG} is missing, beside {weights[0]}: the model was not saved or copied "
            "completely; train it again, or bring its whole folder"
        )
    if not name:
        raise JobError(
            f"{folder / pretrained.CONFIG} is missing: a model's folder has {pretrained.needed()}, and this one holds "
            f"{pretrained.held(folder)}; HF_MODEL_ID may name a model elsewhere"
        )
    if name.startswith(("/", "./", "../", "~")) and not pretrained.is_folder(name):
        raise JobError(f"HF_MODEL_ID is {name!r}, and there is no such folder")
    return name
