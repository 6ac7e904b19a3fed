"""A pipeline of transformers, over a network of a few hundred weights, by the defaults of Hugging Face's container;
what is read and written is compared with its toolkit's own decoder and encoder.

Its handler itself does not load with today's transformers. Source for what it does with `inputs` and `parameters`:
https://github.com/aws/sagemaker-huggingface-inference-toolkit (handler_service.py)
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byo_container.container.failure import JobError
from byo_container.serving.models.script.defaults import huggingface as defaults
from tests.serving.end_to_end.toolkits.both import ABSENT, Script, value

theirs = pytest.importorskip("sagemaker_huggingface_inference_toolkit.decoder_encoder", reason=ABSENT)
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What save_pretrained leaves of a classifier of texts."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder = tmp_path_factory.mktemp("model")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


NOTHING = "def model_warmup_fn(model_dir, model): pass"
OWN_MODEL = """
    from transformers import pipeline
    def model_fn(model_dir): return pipeline("text-classification", model=model_dir)
"""


@pytest.mark.parametrize("code", [NOTHING, OWN_MODEL])
def test_a_classifier_of_texts(folder: Path, code: str) -> None:
    script = Script.write(folder, code)
    status, one = script.ours(b'{"inputs": "good film"}', JSON, JSON)
    assert status == 200, one
    (label,) = value(one, JSON)
    assert label.keys() == {"label", "score"}
    _, both = script.ours(b'{"inputs": ["good film"], "parameters": {"top_k": null}}', JSON, JSON)
    assert len(value(both, JSON)[0]) == 2
    assert script.ours(b"inputs\ngood film\n", CSV, JSON)[1] == one
    header, row = script.ours(b'{"inputs": "good film"}', JSON, CSV)[1].decode().splitlines()
    assert header == "label,score"
    assert row.startswith(label["label"])


def test_the_models_of_a_script_need_no_setting(folder: Path) -> None:
    code = """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        def model_fn(model_dir):
            model = AutoModelForSequenceClassification.from_pretrained(model_dir)
            return model, AutoTokenizer.from_pretrained(model_dir)
        def predict_fn(data, model_and_tokenizer):
            model, tokenizer = model_and_tokenizer
            sentences = data.pop("inputs", data)
            encoded = tokenizer(sentences, return_tensors="pt")
            return {"scores": model(**encoded).logits}
    """
    status, answer = Script.write(folder, code).ours(b'{"inputs": "bad film"}', JSON, JSON)
    assert (status, np.shape(value(answer, JSON)["scores"])) == (200, (1, 2)), answer


def test_the_task_is_told_by_the_variable_or_by_the_config(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.json"
    with pytest.raises(JobError, match="set HF_TASK"):
        defaults.task_of(config)
    for architecture, task in [("BertForMaskedLM", "fill-mask"), ("GPT2LMHeadModel", "text-generation")]:
        config.write_text(json.dumps({"architectures": [architecture]}))
        assert defaults.task_of(config) == task
    config.write_text('{"architectures": ["ViTModel"]}')
    with pytest.raises(JobError, match="its architecture is 'ViTModel'; set HF_TASK"):
        defaults.task_of(config)
    config.unlink()
    monkeypatch.setenv("HF_TASK", "text-classification")
    monkeypatch.setenv("HF_MODEL_ID", str(folder))
    assert defaults.model_fn(str(tmp_path), None).task == "text-classification"


def png() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGBA", (3, 2), (1, 2, 3, 4)).save(stream, format="PNG")
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([1.5]))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"inputs": "a", "parameters": {"b": 12345678901234567890123}}', JSON),
        ('["a", 1.5, null]', JSON),
        ("inputs,other\na,1\nb,2\n", CSV),
        ("Question,Context\nwho?,him\n", CSV),
        (png(), "image/png"),
        (b"RIFF", "audio/wave"),
        (b"ID3", "audio/mpeg"),
        (npy(), NPY),
    ],
)
def test_inputs_are_those_of_the_toolkit(body: Any, content_type: str) -> None:
    ours, expected = defaults.input_fn(body, content_type, None), theirs.decode(body, content_type)
    assert type(ours) is type(expected)
    if content_type == "image/png":
        ours, expected = ours["inputs"].tobytes(), expected["inputs"].tobytes()
    assert np.all(ours == expected)


@pytest.mark.parametrize(
    ("prediction", "accept"),
    [
        ([{"label": "A, b", "score": 0.25}, {"label": 'C"', "score": 1}], CSV),
        ([{"label": "ü", "score": np.float64(0.1)}], JSON),
        ({"a": np.arange(3), "b": None, "c": (1, 2)}, JSON),
        ([[{"score": np.float32(0.5)}]], JSON),
        (np.array([1.5, 2]), NPY),
    ],
)
def test_answers_are_those_of_the_toolkit(prediction: Any, accept: str) -> None:
    body, name = defaults.output_fn(prediction, accept, None)
    expected = theirs.encode(prediction, accept)
    body, expected = (part if isinstance(part, bytes) else part.encode() for part in (body, expected))
    assert (body, name) == (expected, accept)


def test_an_image_in_json_is_that_of_the_toolkit() -> None:
    image = defaults.input_fn(png(), "image/png", None)["inputs"]
    assert defaults.output_fn([image], JSON, None)[0].decode() == theirs.encode([image], JSON)


def test_the_stand_in_has_the_toolkits_names() -> None:
    import importlib

    from byo_container.serving.models.script.stand_ins import huggingface

    for module, content in huggingface.modules().items():
        theirs = importlib.import_module(module)
        for name, ours in content.items():
            constant = isinstance(ours, str | list)
            assert hasattr(theirs, name)
            assert not constant or getattr(theirs, name) == ours


def test_the_stand_in_decodes_and_encodes_as_the_toolkit_does() -> None:
    from sagemaker_huggingface_inference_toolkit import decoder_encoder

    from byo_container.serving.models.script.stand_ins import huggingface

    for data, name in [('{"inputs": "a"}', JSON), ("inputs\na\nb\n", CSV), ("question,context\na,b\n", CSV)]:
        assert huggingface.decode(data, name) == decoder_encoder.decode(data, name)
    prediction = [{"label": "é", "score": np.float32(0.5)}, {"label": "b", "score": np.float32(2)}]
    assert huggingface.encode(prediction, JSON) == decoder_encoder.encode(prediction, JSON)
    assert huggingface.encode(prediction, CSV) == decoder_encoder.encode(prediction, CSV)
