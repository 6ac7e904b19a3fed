"""model_int8.onnx: a classifier with weights of 8 bits, which ONNX Runtime computes on CPUs.

    python -m byo_container.handlers.text_classification.quantization MODEL_DIR

writes it for a model that `train` did not quantize. The scales of activations are found in each call (dynamic
quantization), so no texts are needed to calibrate it. The file knows which weights it was made of: beside others it is
not used.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.files import digest
from byo_container.container.files.disk_errors import UNFINISHED, disk_errors_explained
from byo_container.handlers.text_classification import artifact, pretrained
from byo_container.handlers.text_classification.artifact import INT8, Classifier

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
WEIGHTS = "weights_sha256"
"""Among the metadata of the graph: of the model's safetensors files."""
ROWS = 4096
"""Texts of a batch, at most."""
SLOWER = ["SkipLayerNormFusion"]
"""Optimizations that are none: with this one's kernel a model takes a fifth more time than with two kernels for it."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ADVICE = "python -m byo_container.handlers.text_classification.quantization MODEL_DIR makes it"


class Finding(Enum):
    """What a model's folder holds: a clause for messages."""

    USABLE = f"{INT8} is there"
    MISSING = f"the model has no {INT8}"
    OTHER_WEIGHTS = f"{INT8} was made of other weights than those beside it"
    DAMAGED = f"{INT8} is damaged"
    NO_RUNTIME = f"{INT8} needs the package onnxruntime, which is not installed"


def open_session(source: str) -> tuple[Finding, Any]:
    """onnxruntime.InferenceSession of model_int8.onnx in a folder, or why there is none. A name of the hub has none."""
    path = Path(source) / INT8
    if not os.path.lexists(path):
        return Finding.MISSING, None
    if not path.is_file():  # ONNX Runtime would wait for a pipe
        return Finding.DAMAGED, None
    if find_spec("onnxruntime") is None:
        return Finding.NO_RUNTIME, None
    try:
        session = load_session(path)
    except Exception:  # of ONNX Runtime's own kinds, which share no class
        return Finding.DAMAGED, None
    if session.get_modelmeta().custom_metadata_map.get(WEIGHTS) != weights_digest(Path(source)):
        return Finding.OTHER_WEIGHTS, None
    return Finding.USABLE, session


def load_session(path: Path, threads: int = 1) -> Any:
    """A server has a worker for each core, so that one thread is enough."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
    )


def weights_digest(folder: Path) -> str:
    """Of the safetensors files."""
    return digest.of_files(sorted(filter(Path.is_file, folder.glob("*.safetensors"))))


def missing_packages() -> list[str]:
    """Those that `write` needs; the extra text_classification brings them."""
    return [name for name in PACKAGES if find_spec(name) is None]


def check_packages(wanted: bool | str) -> None:
    """Raises JobError where a job wants int8=true, before it has trained for hours."""
    if wanted is True and (missing := missing_packages()):
        raise JobError(
            f"int8=true needs {', '.join(missing)}: install the extra text_classification, or leave int8 out"
        )


def write(folder: Path, is_good: Callable[[Path], bool] = lambda path: True) -> Path | None:
    """Writes model_int8.onnx beside the model in `folder`, if `is_good` says so of the file; a kill leaves none that
    has not been looked at. Raises JobError where the model cannot be exported, or the file cannot be written."""
    if missing := missing_packages():
        raise JobError(f"{INT8} is made with {', '.join(missing)}: install the extra text_classification")
    if not (folder / pretrained.CONFIG).is_file():
        raise JobError(f"{folder / pretrained.CONFIG} is missing: a model's folder has {pretrained.needed()}")
    classifier, made_of = artifact.load(folder, {}), weights_digest(folder)
    with disk_errors_explained(folder), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as scratch:
        exported, quantized = Path(scratch) / "model.onnx", Path(scratch) / INT8
        with _quietly():
            try:
                _export(classifier, exported)
                _quantize(exported, quantized, made_of)
            except (JobError, OSError):
                raise
            except Exception as error:  # of every kind: exporters fail in their own ways
                text = " ".join(str(error).split())[:300]
                raise JobError(
                    f"the model in {folder} cannot be exported to ONNX: {type(error).__name__}: {text}"
                ) from error
        quantized.chmod(0o644)
        return quantized.replace(folder / INT8) if is_good(quantized) else None


def _export(classifier: Classifier, path: Path) -> None:
    """(rows, tokens) of ids, mask, and types where the model has them → (rows, labels) of logits."""
    import torch
    from torch.export import Dim

    model = classifier.model().eval()
    names = [IDS, MASK] + [TYPES] * (getattr(model.config, "type_vocab_size", 0) > 1)

    class Logits(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return self.model(**dict(zip(names, tensors, strict=True))).logits

    ids = torch.full((2, min(8, classifier.max_length)), model.config.vocab_size - 1)
    mask = torch.ones_like(ids)
    mask[1, -1] = 0
    examples = [ids, mask, torch.zeros_like(ids)][: len(names)]
    shape = {0: Dim("rows", min=1, max=ROWS), 1: Dim("tokens", min=2, max=classifier.max_length)}
    with torch.no_grad():
        torch.onnx.export(
            Logits().eval(),
            tuple(examples),
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=((shape,) * len(names),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _quantize(source: Path, target: Path, made_of: str) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
    graph = onnx.load(target)
    onnx.helper.set_model_props(graph, {WEIGHTS: made_of})
    onnx.save(graph, target)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the remarks of the exporters, which are about operators of images and the like."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m byo_container.handlers.text_classification.quantization",
        description=f"Writes {INT8} beside a model, for faster serving on CPUs.",
    )
    parser.add_argument("folder", type=Path, metavar="MODEL_DIR", help="config.json, model.safetensors and a tokenizer")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        print(f"wrote {write(options.folder)}")
    except JobError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
