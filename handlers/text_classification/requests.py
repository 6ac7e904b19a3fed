"""Inputs of requests → texts and parameters, and their scores → outputs. Standard library only.

    an input                                          its output
    "a text", a row of CSV, a line of text            {"label": "joy", "score": 0.98}
    {"text": "a text", "text_pair": "another"}        the same, of the two together
    {"inputs": "a text", "parameters": {…}}           [{"label": …, "score": …}]
    … with "top_k" in its parameters                  [{"label": …, "score": …}, …], the best first
    {"inputs": {"text": …, "text_pair": …}}           {"label": …, "score": …}; with "top_k" a list
    {"inputs": ["a text", …]}                         [{"label": …, "score": …}, …]; with "top_k" a list of lists

The shapes are those of Transformers' text-classification pipeline, and so of SageMaker's Hugging Face container. Two
things are kinder here: a text that is too long is truncated unless "truncation" is false, where the pipeline fails
unless it is true; and a parameter that is unknown is refused rather than passed on to the tokenizer. The output for
any other input is an InputError, so that only this input fails.
Source: transformers/pipelines/text_classification.py, sagemaker_huggingface_inference_toolkit/handler_service.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, get_type_hints

from byo_container.container.handler import InputError
from byo_container.container.hyperparameters import Range, convert, expectation
from byo_container.container.suggest import did_you_mean

EXPECTED = 'a text, or {"inputs": a text or a list of texts, "parameters": {"top_k": 3, …}}'
KEYS = ("inputs", "parameters", "options")
"""`options` are those of the hub's Inference API (use_cache, wait_for_model), and without effect."""
PAIR = ("text", "text_pair")
SHOWN = 60
LONGEST_COST = 2_500
"""Characters of a text that count: about those of the 512 tokens to which it is truncated."""

Truncation = bool | Literal["longest_first", "only_first", "only_second", "do_not_truncate"] | None
Padding = bool | Literal["longest", "max_length", "do_not_pad"] | None
Function = Literal["default", "softmax", "sigmoid", "none"] | None


@dataclass(frozen=True)
class Parameters:
    """By the pipeline's names."""

    top_k: Annotated[int, Range(1)] | None = None
    """So many labels, the best first; all where it is null."""
    function_to_apply: Function = None
    """Logits → scores; by default softmax, sigmoid for one label or several at once, none for regression."""
    truncation: Truncation = True
    """Of texts that are longer than `max_length` or the model's own limit; an error where it is false."""
    max_length: Annotated[int, Range(1)] | None = None
    """In tokens."""
    padding: Padding = None
    """Without effect: scores do not depend on it."""
    batch_size: Annotated[int, Range(1)] | None = None
    num_workers: Annotated[int, Range(0)] | None = None
    """Both without effect: the server makes the batches."""
    return_all_scores: bool | None = None
    """The former name of "top_k": null, with the labels in the model's order, and in a list more for a single text."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text, or a pair, to be classified. What `split` makes of the items of a list too."""

    text: str
    pair: str | None
    parameters: Parameters
    names: frozenset[str] = frozenset()
    """The parameters that the request has."""


Scores = list[tuple[str, float]]
"""(label, score) of every label, in the model's order."""
Classify = Callable[[list[Text]], Sequence[Scores | InputError]]

DEFAULTS = Parameters()


def respond(inputs: Sequence[Any], classify: Classify) -> list[Any]:
    """One output for each input. `classify` is called at most once, with the texts of all inputs."""
    requests = [_read_or_error(value) for value in inputs]
    texts = [text for request in requests if not isinstance(request, InputError) for text in request]
    scored = iter(classify(texts) if texts else ())
    return [
        request if isinstance(request, InputError) else _shape(value, [_output(text, next(scored)) for text in request])
        for value, request in zip(inputs, requests, strict=True)
    ]


def split(value: Any) -> list[Any] | None:
    """The texts of an input with a list of several, each as an input. None for any other, also for a wrong input, which
    `respond` reports."""
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list) or len(value["inputs"]) < 2:
        return None
    try:
        return list(_read(value))
    except InputError:
        return None


def join(value: Any, outputs: Sequence[Any]) -> Any:
    """The output for an input from the outputs of its parts by `split`."""
    return _shape(value, outputs)


def cost(value: Any) -> float:
    """The characters of a text, as far as they are read; 0 for a wrong input."""
    if isinstance(value, str):
        return min(len(value), LONGEST_COST)
    if isinstance(value, Text):
        return min(len(value.text) + len(value.pair or ""), LONGEST_COST)
    if isinstance(value, dict):
        return cost(value.get("inputs") or value.get("text"))
    return sum(map(cost, value)) if isinstance(value, list) else 0.0


def _read_or_error(value: Any) -> list[Text] | InputError:
    try:
        return list(_read(value))
    except InputError as error:
        return error


def _read(value: Any) -> Iterator[Text]:
    """Raises InputError."""
    if isinstance(value, Text):
        yield value
    elif isinstance(value, str):
        if value.strip().lower() == "inputs":
            raise InputError("'inputs' is no text but a header line, and here each row is a text: leave it out")
        yield _text(value, DEFAULTS)
    elif isinstance(value, list):
        raise InputError(
            'the input is a list; several texts come as {"inputs": ["…", "…"]}, and in CSV a row has one cell: '
            "quote a text with commas"
        )
    elif not isinstance(value, dict):
        raise InputError(f"the input is {_show(value)}; it should be {EXPECTED}")
    elif "inputs" not in value and "text" in value:
        yield _text(value, DEFAULTS)
    else:
        yield from _read_object(value)


def _read_object(value: dict[str, Any]) -> Iterator[Text]:
    for key in value:
        if key not in KEYS:
            if key in _hints():
                raise InputError(f'unknown key {key!r}; put it into "parameters": {{"{key}": …}}')
            raise InputError(f"unknown key {key[:SHOWN]!r}; {did_you_mean(key, KEYS)}")
    if "inputs" not in value:
        raise InputError(f"the object has no 'inputs'; it should be {EXPECTED}")
    given, inputs = value.get("parameters"), value["inputs"]
    if not isinstance(given, dict | None):
        raise InputError(f"'parameters' is {_show(given)}; it should be an object such as {{\"top_k\": 3}}")
    parameters, names = read_parameters(given or {}), frozenset(given or ())
    if not isinstance(inputs, list):
        yield _text(inputs, parameters, names)
        return
    for index, item in enumerate(inputs):
        yield _text(item, parameters, names, f"item {index} of the list: ")


def read_parameters(given: Mapping[str, Any]) -> Parameters:
    """Raises InputError that names what is unknown or wrong."""
    hints, values = _hints(), {}
    for name, value in given.items():
        if name not in hints:
            raise InputError(f"unknown parameter {name[:SHOWN]!r}; {did_you_mean(name, hints)}")
        try:
            if isinstance(value, float) and name in ("top_k", "max_length"):
                raise ValueError(value)  # 2.0 would do as a hyperparameter
            if isinstance(value, str):
                values[name] = convert(json.dumps(_strict_text(name, value)), hints[name])
            else:
                values[name] = None if value is None else convert(json.dumps(value), hints[name])
        except (ValueError, TypeError):
            raise InputError(f"{name!r} is {_show(value)}; it must be {expectation(hints[name])}") from None
    return Parameters(**values)


def _strict_text(name: str, value: str) -> str:
    """A text, where one may stand: "5" is no number in JSON. Raises ValueError."""
    if name not in ("function_to_apply", "truncation", "padding"):
        raise ValueError(value)
    return value.lower()


@lru_cache(maxsize=1)
def _hints() -> dict[str, Any]:
    hints = get_type_hints(Parameters, include_extras=True)
    return {field.name: hints[field.name] for field in fields(Parameters)}


def _text(value: Any, parameters: Parameters, names: frozenset[str] = frozenset(), where: str = "") -> Text:
    if isinstance(value, str):
        text, pair = value, None
    elif isinstance(value, dict):
        text, pair = _pair(value, where)
    else:
        nested = '; a pair of texts is {"text": "…", "text_pair": "…"}' if isinstance(value, list) else ""
        raise InputError(f"{where}{_show(value)} is no text{nested}")
    if not text or text.isspace():
        raise InputError(f"{where}the text is empty; it should hold at least one word")
    return Text(_encodable(text), None if pair is None else _encodable(pair), parameters, names)


def _pair(value: dict[str, Any], where: str) -> tuple[str, str | None]:
    for key in value:
        if key not in PAIR:
            raise InputError(f"{where}unknown key {key[:SHOWN]!r}; {did_you_mean(key, PAIR)}")
    text, pair = value.get("text"), value.get("text_pair")
    if not isinstance(text, str) or not isinstance(pair, str | None):
        wrong, name = (pair, "text_pair") if isinstance(text, str) else (text, "text")
        raise InputError(f"{where}{name!r} is {_show(wrong)}; it should be a text")
    return text, pair


def _encodable(text: str) -> str:
    """Half surrogate pairs, which JSON may have and no tokenizer takes, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _output(text: Text, scores: Scores | InputError) -> Any:
    """The (label, score) pairs of a text as objects; one object where the request does not say how many."""
    if isinstance(scores, InputError):
        return scores
    if "top_k" not in text.names:
        if text.parameters.return_all_scores:
            return [{"label": label, "score": score} for label, score in scores]
        label, score = max(scores, key=lambda pair: pair[1])
        return {"label": label, "score": score}
    best = sorted(scores, key=lambda pair: -pair[1])[: text.parameters.top_k]
    return [{"label": label, "score": score} for label, score in best]


def _shape(value: Any, outputs: Sequence[Any]) -> Any:
    """As the pipeline puts the outputs of an input's texts together."""
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if isinstance(inputs, list):
        for index, output in enumerate(outputs):
            if isinstance(output, InputError):
                return InputError(f"item {index} of the list: {output}")
        return list(outputs)
    (output,) = outputs
    if isinstance(output, InputError) or not isinstance(inputs, str):
        return output
    is_list = isinstance(output, list) and "top_k" in (value.get("parameters") or {})
    return output if is_list else [output]


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        return json.dumps(value, default=repr)[:SHOWN]
    except ValueError:  # an integer with thousands of digits
        return "a number of very many digits"
