"""Inputs of requests → texts and parameters, and translations → outputs. Standard library only.

    an input                                     its output
    "Guten Morgen"                               "Good morning"
    ["Guten Morgen", "Danke"]                    ["Good morning", "Thank you"]
    {"inputs": either, "parameters": {…}}        as above
    … with "nbest" in its parameters             [{"text": "Good morning", "score": -0.31}, …] for each text

The output for any other input is an InputError, so that only this input fails. A score is that of fairseq-generate: the
base-2 logarithm of the probability, divided by the number of subword tokens to the power of lenpen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, get_type_hints

from byo_container.container.handler import InputError
from byo_container.container.hyperparameters import Range, convert, expectation
from byo_container.container.suggest import did_you_mean
from byo_container.handlers.translation.inference.sentences import LINES

EXPECTED = 'a text, a list of texts, or {"inputs": either of them, "parameters": {"beam": 5, …}}'
KEYS = ("inputs", "parameters")
NBEST = ("nbest", "n-best")
MAX_QUOTED = 60


@dataclass(frozen=True)
class Parameters:
    """Generation options by fairseq's names, with its defaults except for the length."""

    beam: Annotated[int, Range(1, 50)] = 5
    nbest: Annotated[int, Range(1, 50)] = 1
    lenpen: Annotated[float, Range(-10, 10)] = 1.0
    # A translation has at most max_len_a · (tokens of the source) + max_len_b subword tokens. fairseq's 0 and 200 would
    # truncate a long one, and a model that repeats itself would keep the rest of its batch waiting for 200 tokens.
    max_len_a: Annotated[float, Range(0, 10)] = 2.0
    max_len_b: Annotated[int, Range(1, 10_000)] = 20
    replace_unk: bool = False
    """Whether an unknown word is replaced by the source word with the most attention."""
    min_len: Annotated[int, Range(1, 10_000)] = 1
    """In subword tokens; limited to the maximum length."""
    unkpen: Annotated[float, Range(-100, 100)] = 0.0
    """Above 0 for fewer unknown words."""
    unnormalized: bool = False
    """Whether hypotheses are compared by probability alone, which favours short ones."""
    no_repeat_ngram_size: Annotated[int, Range(0, 100)] = 0
    temperature: Annotated[float, Range(0, 100, above=True)] = 1.0
    # Alternatives to beam search; only one of them at a time.
    sampling: bool = False
    """Whether to sample `beam` hypotheses, and return the best of them."""
    sampling_topk: Annotated[int, Range(-1, 1_000_000)] = -1
    """Sample from that many most likely tokens; from all where it is -1."""
    sampling_topp: Annotated[float, Range(-1, 1)] = -1.0
    """Sample from the most likely tokens with this total probability; from all where it is -1."""
    diverse_beam_groups: Annotated[int, Range(-1, 50)] = -1
    diverse_beam_strength: Annotated[float, Range(0, 100)] = 0.5
    diversity_rate: Annotated[float, Range(-1, 100)] = -1.0


@dataclass(frozen=True)
class Hypothesis:
    """One translation."""

    text: str
    score: float


@dataclass(frozen=True)
class TranslationRequest:
    """One input."""

    texts: list[str]
    as_list: bool
    parameters: Parameters
    with_scores: bool


# Texts with their parameters → the `nbest` translations of each, best first, or an error.
Translate = Callable[[list[tuple[str, Parameters]]], list[list[Hypothesis] | InputError]]


def respond(inputs: Sequence[Any], translate: Translate, defaults: Parameters) -> list[Any]:
    """One output for each input. `translate` is called at most once, with the texts of all inputs."""
    requests = [_read(value, defaults) for value in inputs]
    valid = [request for request in requests if isinstance(request, TranslationRequest)]
    texts = [(text, request.parameters) for request in valid for text in request.texts]
    translated = iter(translate(texts) if texts else ())
    return [
        request if isinstance(request, InputError) else _output(request, [next(translated) for _ in request.texts])
        for request in requests
    ]


def cost(value: Any) -> float:
    """The approximate cost of an input: its characters, scaled by the beam width; 0 for an invalid input."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(cost, value))
    if not isinstance(value, dict):
        return 0.0
    parameters, usual = value.get("parameters"), Parameters.beam
    beam = parameters.get("beam") if isinstance(parameters, dict) else usual
    return cost(value.get("inputs")) * max(1, beam if isinstance(beam, int) else usual) / usual


def split(value: Any) -> list[Any] | None:
    """The lines of an input with several, each as an input. None for any other, also for an invalid input, which
    `respond` reports, and for one with scores, which are those of whole texts."""
    try:
        given, parameters = _inputs_and_parameters(value) if isinstance(value, dict) else (value, {})
        if parameters:
            read_parameters(parameters, Parameters())
        texts, _ = _texts(given)
    except InputError:
        return None
    if any(name in parameters for name in NBEST):
        return None
    lines = [line for text in texts for line in LINES.split(text)]
    if len(lines) < 2:
        return None
    return [{**value, "inputs": line} for line in lines] if isinstance(value, dict) else lines


def join(value: Any, outputs: Sequence[Any]) -> Any:
    """The output for an input from the outputs of its parts by `split`."""
    texts, as_list = _texts(value["inputs"] if isinstance(value, dict) else value)
    remaining, joined = iter(outputs), []
    for index, text in enumerate(texts):
        lines = [next(remaining) for _ in LINES.split(text)]
        if error := next((line for line in lines if isinstance(line, InputError)), None):
            return InputError(f"item {index} of the list: {error}") if as_list else error
        joined.append("\n".join(lines))
    return joined if as_list else joined[0]


def _read(value: Any, parameters: Parameters) -> TranslationRequest | InputError:
    with_scores = False
    try:
        if isinstance(value, dict):
            value, given = _inputs_and_parameters(value)
            parameters = read_parameters(given, parameters)
            with_scores = any(name in given for name in NBEST)
        texts, as_list = _texts(value)
    except InputError as error:
        return error
    return TranslationRequest(texts, as_list, parameters, with_scores)


def _inputs_and_parameters(value: dict[Any, Any]) -> tuple[Any, dict[Any, Any]]:
    for key in value:
        if key not in KEYS:
            if str(key).replace("-", "_") in parameter_names():
                example = f'{{"inputs": …, "parameters": {{"{key}": …}}}}'
                raise InputError(f"unknown key {key!r}; put it into 'parameters': {example}")
            raise InputError(f"unknown key {str(key)[:MAX_QUOTED]!r}; {did_you_mean(str(key), KEYS)}")
    if "inputs" not in value:
        raise InputError(f"the object has no 'inputs'; it should be {EXPECTED}")
    given = value.get("parameters")
    if not isinstance(given, dict | None):
        raise InputError(f"'parameters' is {_show(given)}; it should be an object such as {{\"beam\": 5}}")
    return value["inputs"], given or {}


def read_parameters(given: Mapping[Any, Any], defaults: Parameters) -> Parameters:
    """`defaults` updated by `given`. Raises InputError that names what is unknown or out of range."""
    hints = get_type_hints(Parameters, include_extras=True)
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name not in hints:
            raise InputError(f"unknown parameter {str(key)[:MAX_QUOTED]!r}; {did_you_mean(str(key), hints)}")
        try:
            values[name] = convert(value if isinstance(value, str) else json.dumps(value), hints[name])
        except (ValueError, TypeError):
            raise InputError(f"{name!r} is {_show(value)}; it must be {expectation(hints[name])}") from None
    parameters = replace(defaults, **values)
    _check_combination(parameters, values)
    return parameters


def _check_combination(parameters: Parameters, given: Mapping[str, Any]) -> None:
    """Raises InputError for parameters that exclude each other in fairseq."""
    if parameters.nbest > parameters.beam:
        raise InputError(
            f"'nbest' is {parameters.nbest}, and a search with 'beam' {parameters.beam} finds no more than that; "
            "ask for fewer, or for a wider beam"
        )
    if not parameters.sampling:
        for name in ("sampling_topk", "sampling_topp"):
            if given.get(name, -1) > 0:
                raise InputError(f"{name!r} is for sampling; set 'sampling' to true, or leave it out")
    groups = parameters.diverse_beam_groups
    methods = {"sampling": parameters.sampling, "diverse_beam_groups": groups > 0}
    methods["diversity_rate"] = parameters.diversity_rate > 0
    if sum(methods.values()) > 1:
        listed = " and ".join(repr(name) for name, is_on in methods.items() if is_on)
        raise InputError(f"{listed} exclude each other; turn off one of them (false, or -1)")
    if groups > 0 and parameters.beam % groups:
        raise InputError(f"'beam' is {parameters.beam}; it must be a multiple of 'diverse_beam_groups', {groups}")


def parameter_names() -> list[str]:
    """The keys of "parameters" in requests, and of "generation" in the manifest."""
    return [field.name for field in fields(Parameters)]


def _texts(value: Any) -> tuple[list[str], bool]:
    """The texts, and whether they came as a list."""
    if hasattr(value, "tolist"):
        value = value.tolist()  # an array of texts
    if isinstance(value, str):
        return [value], False
    if not isinstance(value, list):
        raise InputError(f"the input is {_show(value)}; it should be {EXPECTED}")
    for index, text in enumerate(value):
        if not isinstance(text, str):
            raise InputError(f"item {index} of the list is {_show(text)}; it should be a text")
    return value, True


def _output(request: TranslationRequest, translated: list[list[Hypothesis] | InputError]) -> Any:
    outputs = []
    for index, hypotheses in enumerate(translated):
        if isinstance(hypotheses, InputError):
            return InputError(f"item {index} of the list: {hypotheses}") if request.as_list else hypotheses
        scored = [{"text": one.text, "score": one.score} for one in hypotheses]
        outputs.append(scored if request.with_scores else hypotheses[0].text)
    return outputs if request.as_list else outputs[0]


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        return f"{json.dumps(value, default=repr)[:MAX_QUOTED]}"
    except ValueError:  # an integer with thousands of digits
        return "a number of very many digits"
