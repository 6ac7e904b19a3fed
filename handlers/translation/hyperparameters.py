"""A job's hyperparameters, checked before anything starts: fairseq's training options, its generation options (for
validation, and as the endpoint's defaults), and the few of our own.

fairseq builds its parser from all its models, so that the check costs the 3 to 4 s of importing it. A list of names
could be checked in no time, but would be one more thing that can be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from byo_container.container import hyperparameters as hp
from byo_container.container.failure import JobError
from byo_container.container.handler import InputError
from byo_container.container.hyperparameters import Range
from byo_container.container.log import log
from byo_container.handlers.translation.requests import Parameters, parameter_names, read_parameters
from byo_container.handlers.translation.training import option_names, presets
from byo_container.handlers.translation.training.fairseq_parser import CHOICES, FairseqParser, check_choice
from byo_container.handlers.translation.training.option_names import ALIASES, FALSE, RENAMED, TRUE

NEED_A_GPU = ("fp16", "memory_efficient_fp16")
MIXED_PRECISION = "amp"
"""fairseq supports it on GPUs only; here it works on CPUs too, in bfloat16."""
EVALUATION = ("eval_bleu", "eval_bleu_args")
BACKENDS = ("nccl", "gloo")
"""How ranks with a GPU may exchange their gradients; ranks without one have gloo only."""
EVALUATION_DEFAULTS = {"beam": 5, "max_len_a": 1.2, "max_len_b": 10}
"""A model that has hardly learned anything ends no sentence, and would go on to fairseq's limit of 200 tokens."""
METRICS = ("loss", "nll_loss", "ppl", "bleu", "chrf")


@dataclass(frozen=True)
class OwnHyperparameters:
    """The hyperparameters that fairseq does not have."""

    bpe_merges: Annotated[int, Range(1, 1_000_000)] = 10_000
    lowercase: bool = False


OWN = tuple(OwnHyperparameters.__dataclass_fields__)


@dataclass(frozen=True)
class TrainingSettings:
    """The checked hyperparameters of a job."""

    own: OwnHyperparameters
    arguments: tuple[str, ...]
    """Arguments of fairseq's command line, without those that the handler sets."""
    training: Mapping[str, str]
    """Training options as texts, defaults included."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Generation options by fairseq's names: the endpoint's defaults."""
    evaluation: Mapping[str, Any] | None = field(default_factory=dict)
    """Generation options for BLEU while training; None where BLEU is off."""
    autocast: bool = False
    """Whether to compute in bfloat16 on the CPU where that is exact enough."""
    backend: str = ""
    """How ranks exchange their gradients, where the job sets it."""
    remarks: tuple[str, ...] = ()
    """Log lines about options without effect, with the reasons."""

    @property
    def architecture(self) -> str:
        return self.training["arch"]

    @property
    def shares_dictionary(self) -> bool:
        """Whether the model has one embedding table for both languages."""
        return _is_on(self.training, "share_all_embeddings")

    @property
    def direction(self) -> tuple[str | None, str | None]:
        return self.training.get("source_lang"), self.training.get("target_lang")


def read(texts: Mapping[str, str], source: object, has_gpu: bool) -> TrainingSettings:
    """The settings from the platform's texts. `source` is named in errors. Raises JobError that lists every fault."""
    return HyperparameterCheck(source, has_gpu).run(texts)


class HyperparameterCheck:
    """Checks the hyperparameters of one job and collects what is wrong in `faults`."""

    parser: FairseqParser

    def __init__(self, source: object, has_gpu: bool) -> None:
        self.source, self.has_gpu = source, has_gpu
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self.spelling: dict[str, str] = {}
        """fairseq's name → the name that the job uses, for error messages."""

    def run(self, texts: Mapping[str, str]) -> TrainingSettings:
        named = self._by_name(texts)
        own = hp.parse(OwnHyperparameters, {name: named.pop(name) for name in OWN if name in named}, self.source)
        self._take_out_fixed(named)
        backend = self._take_out_backend(named)
        self.parser = self._parser_for(named)
        options = self._with_fairseqs_names(named)
        generation = {name: options.pop(name) for name in list(options) if not self.parser.is_training_option(name)}
        evaluation = {name: options.pop(name) for name in EVALUATION if name in options}
        training = {**presets.complete(options), **options}
        autocast = not self.has_gpu and _is_on(training, MIXED_PRECISION)
        if not self.has_gpu:
            training = _without_gpu(training)
        arguments = [word for name, text in training.items() for word in self._try(name, text, self.parser.words) or ()]
        self._check_metric(training, evaluation)
        defaults = self._generation_values(generation)
        evaluated_with = self._evaluation_values(evaluation, defaults)
        if self.faults:
            raise self._error()
        return TrainingSettings(
            own, tuple(arguments), training, defaults, evaluated_with, autocast, backend, tuple(self.remarks)
        )

    def _error(self, *more: str) -> JobError:
        return JobError(f"{self.source}: " + "; ".join([*self.faults, *more]))

    def _by_name(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Texts by names with underscores, without the quotes in which some SDKs send them."""
        named: dict[str, str] = {}
        for given, text in texts.items():
            name = given.lstrip("-").replace("-", "_")
            if name in named:
                self.faults.append(f"{name!r} is given twice, with a hyphen and with an underscore")
            value = hp.decode(text)
            named[name] = value if isinstance(value, str) else text
        if named.get("lowercase") == "":
            named["lowercase"] = "true"  # as for fairseq's flags
        return named

    def _take_out_fixed(self, named: dict[str, str]) -> None:
        """Removes the options that a job cannot change. Those without effect get a remark, others are faults."""
        for name, text in list(named.items()):
            fixed = option_names.fixed_option(name, self.has_gpu)
            if fixed is None:
                continue
            del named[name]
            if fixed.accepts(text):
                self.remarks.append(f"{name} = {text!r} changes nothing: {fixed.reason}")
            elif fixed.accepted:
                self.faults.append(f"{name!r} cannot be {text!r}: {fixed.reason}")
            else:
                self.faults.append(f"{name!r} cannot be set: {fixed.reason}")

    def _take_out_backend(self, named: dict[str, str]) -> str:
        backend = named.pop("distributed_backend", "").strip()
        if backend:
            self._check_choice("distributed_backend", backend, BACKENDS)
        return backend

    def _parser_for(self, named: Mapping[str, str]) -> FairseqParser:
        choices = presets.complete(named) | {name: named[name] for name in CHOICES if name in named}
        try:
            return FairseqParser(choices)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _with_fairseqs_names(self, named: Mapping[str, str]) -> dict[str, str]:
        """Texts by the names of fairseq 0.12, from those, its former ones, and aliases."""
        options: dict[str, str] = {}
        for name, text in named.items():
            own = self.parser.canonical(name)
            canonical = own or RENAMED.get(name) or ALIASES.get(name)
            if canonical is None:
                known = [*OWN, *EVALUATION, *ALIASES]
                self.faults.append(f"unknown hyperparameter {name!r}{self.parser.explain(name, known)}")
            elif not self.parser.canonical(canonical):
                why = self.parser.explain(canonical)
                self.faults.append(f"{name!r} is fairseq's {canonical!r}, which does not exist here{why}")
            elif canonical in options:
                self._check_duplicate(name, canonical, options[canonical], text)
            else:
                options[canonical] = text
                self.spelling[canonical] = name if own is None else canonical
        return options

    def _check_duplicate(self, name: str, canonical: str, before: str, text: str) -> None:
        """Two names of one option are refused; an alias beside another name only where the values differ."""
        other = self.spelling[canonical]
        if not {name, other} & set(ALIASES):
            self.faults.append(f"{name!r} is another name of one that is given too, {canonical!r}")
        elif text != before:
            self.faults.append(f"{other} = {before!r} and {name} = {text!r} set the same option; leave one of them")

    def _try(self, name: str, text: str, read: Callable[[str, str], Any]) -> Any:
        """The result of `read`; None, and a fault, where it raises ValueError."""
        try:
            return read(name, text)
        except ValueError as error:
            self.faults.append(f"{self.spelling.get(name, name)} = {text!r} is not right: {error}")
            return None

    def _check_choice(self, name: str, value: str, choices: Sequence[str]) -> None:
        try:
            check_choice(name, value, choices)
        except ValueError as error:
            self.faults.append(str(error))

    def _check_metric(self, training: Mapping[str, str], evaluation: Mapping[str, str]) -> None:
        metric = training.get("best_checkpoint_metric", METRICS[0])
        if metric not in METRICS:
            self._check_choice("best_checkpoint_metric", metric, METRICS)
        elif metric in presets.HIGHER_IS_BETTER and evaluation.get("eval_bleu", "true").lower() in FALSE:
            self.faults.append(f"best_checkpoint_metric = {metric!r} needs eval_bleu, which is turned off")

    def _generation_values(self, generation: Mapping[str, str]) -> dict[str, Any]:
        """The values of generation options. The endpoint is stricter than fairseq about their ranges."""
        values: dict[str, Any] = {}
        for name, text in generation.items():
            # fairseq's replace_unk may name a file as well, which is of no use to the endpoint.
            read = _read_switch if name == "replace_unk" else self.parser.generation_value
            if (value := self._try(name, text, read)) is not None:
                values[name] = value
        try:
            read_parameters(values, Parameters())
        except InputError as error:
            self.faults.append(str(error))
        return values

    def _evaluation_values(self, evaluation: Mapping[str, str], defaults: dict[str, Any]) -> dict[str, Any] | None:
        """fairseq's eval_bleu and eval_bleu_args: whether validation measures BLEU, and with which generation options;
        None where it does not."""
        switch = evaluation.get("eval_bleu", "true").strip().lower()
        if switch in FALSE:
            return None
        if switch not in TRUE:
            self.faults.append(f"eval_bleu = {switch!r} is not right: it is a flag, and must be true or false")
        text = evaluation.get("eval_bleu_args") or "{}"
        value = hp.decode(text)
        value = hp.decode(value) if isinstance(value, str) else value
        if not isinstance(value, dict):
            self.faults.append(
                f'eval_bleu_args = {text!r} is not right: it must be a JSON object such as {{"beam": 1}}'
            )
            return None
        texts = {name.replace("-", "_"): json.dumps(item) for name, item in value.items()}
        for name in [name for name in texts if name not in parameter_names()]:
            self.faults.append(f"eval_bleu_args has the unknown {name!r}{self.parser.explain(name)}")
            del texts[name]
        return {**EVALUATION_DEFAULTS, **defaults, **self._generation_values(texts)}


def _read_switch(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in (*TRUE, *FALSE, "@@"):
        raise ValueError("it must be true or false")
    return word not in FALSE


def _without_gpu(training: Mapping[str, str]) -> dict[str, str]:
    """fairseq computes in half precision on GPUs only."""
    dropped = [name for name in NEED_A_GPU if _is_on(training, name)]
    if dropped:
        log.warning("%s: this host has no GPU, and training goes on in single precision", ", ".join(dropped))
    return {name: text for name, text in training.items() if name not in (*NEED_A_GPU, MIXED_PRECISION)} | {
        "cpu": "true"
    }


def _is_on(training: Mapping[str, str], name: str) -> bool:
    return training.get(name, "false").strip().lower() not in FALSE
