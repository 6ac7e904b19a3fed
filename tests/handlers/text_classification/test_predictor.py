"""A served model, beside Transformers' own pipeline."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification import TextClassification, artifact
from byo_container.testing import Endpoint
from tests.handlers.text_classification.support import FAMILIES, classifier

PAIR = {"text": "i feel happy", "text_pair": "today"}
TEXTS = ["i feel so glad today", "i feel lonely", "i feel mad because of the weather and my friends", "zzz"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module", autouse=True)
def exact() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_PRECISION", "float32")
        yield


@pytest.fixture(scope="module")
def endpoint(bert: Path, exact: None) -> Any:
    with Endpoint(TextClassification, bert) as endpoint:
        yield endpoint


def pipeline(folder: Path) -> Any:
    from transformers import pipeline as make

    return make("text-classification", model=str(folder))


def close(found: Any, expected: Any) -> bool:
    """Equal but for the last digits of numbers."""
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return bool(found == (pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else expected))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_answers_as_the_pipeline_does(family: str, tmp_path: Path) -> None:
    theirs = pipeline(classifier(family, tmp_path))
    with Endpoint(TextClassification, tmp_path) as ours:
        for inputs in (TEXTS[0], TEXTS, PAIR, [PAIR, TEXTS[1]]):
            for parameters in ({}, {"top_k": 2}, {"top_k": None, "function_to_apply": "sigmoid"}):
                answer = ours.json({"inputs": inputs, "parameters": parameters})
                assert answer.status == 200, answer.error
                assert close(answer.value, theirs(inputs, **parameters)), (inputs, parameters)


def test_a_decoder_without_a_token_for_padding(tmp_path: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2Tokenizer

    letters = ["<|endoftext|>", "Ġ", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = GPT2Tokenizer(vocab={letter: number for number, letter in enumerate(letters)}, merges=[])
    assert tokenizer.pad_token is None
    torch.manual_seed(0)
    sizes = {"n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "num_labels": 3, "initializer_range": 0.5}
    config = GPT2Config(vocab_size=len(letters), bos_token_id=0, eos_token_id=0, **sizes)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    theirs = pipeline(tmp_path)  # which takes one text at a time, since it cannot make batches
    with Endpoint(TextClassification, tmp_path) as ours:
        answer = ours.json({"inputs": TEXTS, "parameters": {"top_k": None}})
    assert close(answer.value, [theirs(text, top_k=None) for text in TEXTS]), answer.text


def test_a_family_that_is_padded_at_the_left(tmp_path: Path) -> None:
    classifier("bert", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlnet"}))
    with pytest.raises(JobError, match=r"family xlnet, .* padded at the left"):
        artifact.load(tmp_path)


@pytest.mark.parametrize(
    "parameters",
    [
        {"top_k": 1},
        {"function_to_apply": "none", "top_k": None},
        {"function_to_apply": "softmax"},
        {"truncation": True, "max_length": 5, "top_k": 3},
        {"truncation": "only_first", "max_length": 6, "top_k": 3},
        {"padding": "max_length", "truncation": True, "max_length": 20, "top_k": 3},
    ],
)
def test_parameters_mean_what_they_mean_to_the_pipeline(endpoint: Any, bert: Path, parameters: dict[str, Any]) -> None:
    theirs = pipeline(bert)
    for inputs in (TEXTS[2], TEXTS):
        answer = endpoint.json({"inputs": inputs, "parameters": parameters})
        assert close(answer.value, theirs(inputs, **parameters)), answer.text


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_the_function_is_that_of_the_models_problem(tmp_path: Path, problem_type: str) -> None:
    theirs = pipeline(classifier("bert", tmp_path, problem_type=problem_type))
    with Endpoint(TextClassification, tmp_path) as ours:
        answer = ours.json({"inputs": TEXTS, "parameters": {"top_k": None}})
        assert close(answer.value, theirs(TEXTS, top_k=None))


def test_long_texts_are_truncated_unless_that_is_refused(endpoint: Any) -> None:
    long = "happy " * 17_000
    assert endpoint.json({"inputs": long}).status == 200
    assert endpoint.json({"inputs": "x" * 100_000}).status == 200
    for inputs, where in ((long, ""), (["i feel", long], "item 1 of the list: ")):
        refused = endpoint.json({"inputs": inputs, "parameters": {"truncation": False}})
        assert refused.status == 400
        assert refused.error.startswith(f"{where}the text has 17,002 tokens, and the model takes 64; shorten it")
    assert "'max_length' is 2" in endpoint.json({"inputs": "x", "parameters": {"max_length": 2}}).error


def test_rows_and_lines_have_an_answer_each(endpoint: Any) -> None:
    plain = [endpoint.json(text).value for text in TEXTS]
    assert close(endpoint.csv([[text] for text in TEXTS]).value, plain)
    assert close(endpoint.text("\n".join(TEXTS) + "\n").value, plain)
    assert close(endpoint.json_lines(TEXTS).value, plain)
    lines = endpoint.json_lines([{"inputs": text} for text in TEXTS], accept="application/jsonlines")
    assert close(lines.value, [[one] for one in plain])
    rows = endpoint.csv([[text] for text in TEXTS], accept="text/csv").text.splitlines()
    assert [row.split(",")[0] for row in rows] == [one["label"] for one in plain]
    assert endpoint.csv([["i feel", " happy"]]).status == 400


def test_ten_thousand_texts_at_once(endpoint: Any) -> None:
    many = [TEXTS[number % 4] for number in range(10_000)]
    answer = endpoint.json({"inputs": many})
    assert [one["label"] for one in answer.value[:4]] == [endpoint.json(text).value["label"] for text in TEXTS]
    assert len(answer.value) == 10_000
    assert endpoint.json({"inputs": [*many, 7]}).error == "item 10000 of the list: 7 is no text"


def test_half_surrogates_and_odd_characters_are_texts(endpoint: Any) -> None:
    assert endpoint.raw(b'{"inputs": "a \\ud800 \\u0000 b"}', "application/json").status in (200, 400)
    assert endpoint.json({"inputs": "\U0001f600 \u202e\u0000"}).status == 200
    assert endpoint.raw(b'{"inputs": "\xff"}', "application/json").status == 400


def test_threads_with_different_parameters_do_not_disturb_each_other(bert: Path) -> None:
    model = TextClassification().load(bert)
    handler = TextClassification()
    asked = [{"inputs": TEXTS[2], "parameters": {"max_length": 4 + number % 9, "top_k": 3}} for number in range(64)]
    expected = [handler.predict(model, [one])[0] for one in asked]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda one: handler.predict(model, [one])[0], asked))
    assert close(found, expected)


def damaged(folder: Path, scale: float, **config: Any) -> Path:
    """A model whose weights are multiplied, and whose config.json has other values."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file({name: weight * scale for name, weight in load_file(path).items()}, path, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return folder


@pytest.mark.parametrize(
    ("scale", "config", "message"),
    [
        (math.nan, {}, "the model computes nan in place of scores; its weights are damaged"),
        (1, {"id2label": {"0": "a", "1": "b", "5": "c"}, "label2id": None}, "id2label in config.json has the numbers"),
    ],
)
def test_a_damaged_model_does_not_serve(
    scale: float, config: dict[str, Any], message: str, bert: Path, tmp_path: Path
) -> None:
    folder = damaged(Path(shutil.copytree(bert, tmp_path / "bert")), scale, **config)
    with pytest.raises(JobError, match=message):
        TextClassification().load(folder)


def test_a_tokenizer_that_fails_is_told_before_the_first_request(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "bert"))
    made = json.loads((folder / "tokenizer.json").read_text())
    made["model"]["vocab"] = {}
    (folder / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(JobError, match=r"the model in .* cannot classify a text: .*; bring all files as one"):
        TextClassification().load(folder)


def test_bfloat16_finds_the_same_labels(
    bert: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    expected = [one["label"] for one in TextClassification().predict(TextClassification().load(bert), TEXTS)]
    monkeypatch.setenv("MODEL_PRECISION", "bfloat16")
    found = TextClassification().predict(TextClassification().load(bert), TEXTS)
    assert [one["label"] for one in found] == expected
    assert "the model computes in bfloat16" in caplog.text
