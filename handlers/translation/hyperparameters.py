"""A job's hyperparameters, checked before anything starts: fairseq's training options, its generation options (for
validation and as the endpoint's defaults), and the few of our own.

fairseq builds its parser from all its models, so that the check costs the 3 to 4 s of importing it: a list of names
that would be checked in no time would be one more thing to be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from byo_container.container import hyperparameters as hp
from byo_container.container.failure import JobError
from byo_container.container.handler import InputError
from byo_container.container.hyperparameters import Range
from byo_container.container.log import log
from byo_container.handlers.translation.requests import Parameters, parameter_names, read_parameters
from byo_container.handlers.translation.training import option_names, presets
from byo_container.handlers.translation.training.fairseq_parser import CHOICES, Parser, check_choice
from byo_container.handlers.translation.training.option_names import FALSE, TRUE

NEED_A_GPU = ("fp16", "memory_efficient_fp16")
MIXED = "amp"
"""fairseq's name for mixed precision, which it knows on GPUs only; here it works on CPUs too, in bfloat16."""
EVALUATION = ("eval_bleu", "eval_bleu_args")
BACKENDS = ("nccl", "gloo")
"""How ranks with a GPU may exchange their gradients; those without one have gloo only."""
MEASURED_WITH = {"beam": 5, "max_len_a": 1.2, "max_len_b": 10}
"""A network that has hardly learned anything ends no sentence, and would go on to fairseq's limit of 200 pieces."""
METRICS = ("loss", "nll_loss", "ppl", "bleu", "chrf")


@dataclass(frozen=True)
class Own:
    """The hyperparameters that fairseq does not have."""

    bpe_merges: Annotated[int, Range(1, 1_000_000)] = 10_000
    lowercase: bool = False


OWN = tuple(Own.__dataclass_fields__)


@dataclass(frozen=True)
class Settings:
    """What a job asks for. `options` are words for fairseq's command line, without those that the handler sets;
    `generation` and `evaluation` are values by fairseq's names, the second for BLEU while training."""

    own: Own
    options: tuple[str, ...]
    chosen: Mapping[str, str]
    """Training options as texts, defaults included."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = field(default_factory=dict)
    """None where no BLEU is wanted."""
    autocast: bool = False
    """Whether to compute in bfloat16 on the CPU where that is exact enough."""
    backend: str = ""
    """How ranks exchange their gradients, where the job says so."""
    remarks: tuple[str, ...] = ()
    """What was given and changes nothing, each with the reason."""

    @property
    def architecture(self) -> str:
        return self.chosen["arch"]

    @property
    def shares_dictionary(self) -> bool:
        """Whether the network has one table of pieces for both languages."""
        return _is_on(self.chosen, "share_all_embeddings")

    @property
    def direction(self) -> tuple[str | None, str | None]:
        return self.chosen.get("source_lang"), self.chosen.get("target_lang")


def read(texts: Mapping[str, str], source: object, has_gpu: bool) -> Settings:
    """The settings from the platform's texts; `source` is named in errors. Raises JobError that lists every fault."""
    faults: list[str] = []
    named = _underscored(texts, faults)
    if named.get("lowercase") == "":
        named["lowercase"] = "true"  # as for fairseq's flags
    own = hp.parse(Own, {name: text for name, text in named.items() if name in OWN}, source)
    rest = {name: text for name, text in named.items() if name not in OWN}
    remarks = _take_settled(rest, has_gpu, faults)
    backend = _take_backend(rest, faults)
    try:
        parser = Parser({**presets.complete(rest), **{name: rest[name] for name in CHOICES if name in rest}})
    except ValueError as error:
        raise JobError(f"{source}: " + "; ".join([*faults, str(error)])) from None
    given = _canonical(rest, parser, faults)
    generation = {name: given.pop(name) for name in list(given) if name not in _training(parser)}
    evaluation = {name: given.pop(name) for name in EVALUATION if name in given}
    chosen = {**presets.complete(given), **given}
    autocast = not has_gpu and _is_on(chosen, MIXED)
    if not has_gpu:
        chosen = _without_gpu(chosen)
    options = _collect(chosen, parser.words, faults)
    _check_metric(chosen, evaluation, faults)
    values = _values(generation, parser, faults)
    beside = _evaluation(evaluation, parser, faults)
    if faults:
        raise JobError(f"{source}: " + "; ".join(faults))
    asked = None if beside is None else {**MEASURED_WITH, **values, **beside}
    return Settings(own, tuple(options), chosen, values, asked, autocast, backend, tuple(remarks))


def _underscored(texts: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, text in texts.items():
        name = given.lstrip("-").replace("-", "_")
        if name in found:
            faults.append(f"{name!r} is given twice, with a hyphen and with an underscore")
        found[name] = _plain(text)
    return found


def _take_settled(rest: dict[str, str], has_gpu: bool, faults: list[str]) -> list[str]:
    """Takes out what a job cannot change, and returns what to say of it."""
    remarks = []
    for name, text in list(rest.items()):
        settled = option_names.settled(name, has_gpu)
        if settled is None:
            continue
        del rest[name]
        if settled.accepts(text):
            remarks.append(f"{name} = {text!r} changes nothing: {settled.reason}")
        elif settled.accepted:
            faults.append(f"{name!r} cannot be {text!r}: {settled.reason}")
        else:
            faults.append(f"{name!r} cannot be set: {settled.reason}")
    return remarks


def _take_backend(rest: dict[str, str], faults: list[str]) -> str:
    backend = rest.pop("distributed_backend", "").strip()
    if backend:
        _check_choice("distributed_backend", backend, BACKENDS, faults)
    return backend


def _check_choice(name: str, value: str, choices: Sequence[str], faults: list[str]) -> None:
    try:
        check_choice(name, value, choices)
    except ValueError as error:
        faults.append(str(error))


def _training(parser: Parser) -> set[str]:
    return {action.dest for action in parser.actions.values()}


def _canonical(rest: Mapping[str, str], parser: Parser, faults: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, text in rest.items():
        canonical = parser.canonical(name) or option_names.RENAMED.get(name)
        if canonical is None:
            faults.append(f"unknown hyperparameter {name!r}{parser.explain(name, [*OWN, *EVALUATION])}")
        elif canonical in given:
            faults.append(f"{name!r} is another name of one that is given too, {canonical!r}")
        else:
            given[canonical if canonical in parser.actions or canonical in parser.generation else name] = text
    return given


def _collect(chosen: Mapping[str, str], words_of: Any, faults: list[str]) -> list[str]:
    words: list[str] = []
    for name, text in chosen.items():
        try:
            words += words_of(name, text)
        except ValueError as error:
            faults.append(f"{name} = {text!r} is not right: {error}")
    return words


def _values(generation: Mapping[str, str], parser: Parser, faults: list[str]) -> dict[str, Any]:
    """Generation options as the endpoint takes them, which is stricter than fairseq about their ranges."""
    values: dict[str, Any] = {}
    for name, text in generation.items():
        try:
            # For fairseq a name of a file as well, whose words the endpoint has no use for.
            values[name] = _switch(text) if name == "replace_unk" else parser.generation_value(name, text)
        except ValueError as error:
            faults.append(f"{name} = {text!r} is not right: {error}")
    try:
        read_parameters(values, Parameters())
    except InputError as error:
        faults.append(str(error))
    return values


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in (*TRUE, *FALSE, "@@"):
        raise ValueError("it must be true or false")
    return word not in FALSE


def _evaluation(asked: Mapping[str, str], parser: Parser, faults: list[str]) -> dict[str, Any] | None:
    """fairseq's eval_bleu and eval_bleu_args: whether translations are measured while training, and with what beam."""
    wanted = asked.get("eval_bleu", "true").strip().lower()
    if wanted in FALSE:
        return None
    if wanted not in TRUE:
        faults.append(f"eval_bleu = {wanted!r} is not right: it is a flag, and must be true or false")
    text = asked.get("eval_bleu_args") or "{}"
    value = hp.decode(text)
    value = hp.decode(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        faults.append(f'eval_bleu_args = {text!r} is not right: it must be a JSON object such as {{"beam": 1}}')
        return {}
    known = {name.replace("-", "_"): json.dumps(item) for name, item in value.items()}
    unknown = [name for name in known if name not in parameter_names()]
    faults += [f"eval_bleu_args has the unknown {name!r}{parser.explain(name)}" for name in unknown]
    return _values({name: item for name, item in known.items() if name not in unknown}, parser, faults)


def _check_metric(chosen: Mapping[str, str], evaluation: Mapping[str, str], faults: list[str]) -> None:
    metric = chosen.get("best_checkpoint_metric", METRICS[0])
    if metric not in METRICS:
        _check_choice("best_checkpoint_metric", metric, METRICS, faults)
    elif metric in presets.HIGHER_IS_BETTER and evaluation.get("eval_bleu", "true").lower() in FALSE:
        faults.append(f"best_checkpoint_metric = {metric!r} needs eval_bleu, which is turned off")


def _without_gpu(chosen: Mapping[str, str]) -> dict[str, str]:
    """fairseq computes in half precision on GPUs only."""
    dropped = [name for name in NEED_A_GPU if _is_on(chosen, name)]
    if dropped:
        log.warning("%s: this host has no GPU, and training goes on in single precision", ", ".join(dropped))
    return {name: text for name, text in chosen.items() if name not in (*NEED_A_GPU, MIXED)} | {"cpu": "true"}


def _is_on(chosen: Mapping[str, str], name: str) -> bool:
    return chosen.get(name, "false").strip().lower() not in FALSE


def _plain(text: str) -> str:
    """Without the quotes in which some SDKs send every text."""
    value = hp.decode(text)
    return value if isinstance(value, str) else text
