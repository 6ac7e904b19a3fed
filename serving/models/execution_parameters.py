"""The answer of /execution-parameters: how batch transform should send its requests.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.suggest import did_you_mean
from byo_container.serving.settings import MEGABYTE, Settings

CONCURRENT, STRATEGY, PAYLOAD = "MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"
STRATEGIES = ("MULTI_RECORD", "SINGLE_RECORD")
# The platform's limit for a payload, and for all payloads that are under way together.
MOST_MB = 100
# The platform's default for a payload.
USUAL_MB = 6


def parameters(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """The handler's `execution_parameters`, else as many concurrent requests as can be computed."""
    accepted = min(settings.max_payload // MEGABYTE, MOST_MB)
    usual = accepted if settings.payload_chosen or not settings.batch_transform else USUAL_MB
    megabytes = min(own.get(PAYLOAD, usual), accepted)
    found: dict[str, Any] = {
        CONCURRENT: own.get(CONCURRENT, max(1, min(settings.workers * settings.threads, MOST_MB // max(1, megabytes)))),
        STRATEGY: own.get(STRATEGY, STRATEGIES[0]),
        PAYLOAD: megabytes,
    }
    if settings.batch_transform == "True":
        # The SDK's local mode spells the strategy otherwise and fails on the platform's own name for it.
        del found[STRATEGY]
    return found


def checked(own: Any, whose: str) -> Mapping[str, Any]:
    """A handler's `execution_parameters`. Raises JobError for values that the platform would refuse."""
    if not isinstance(own, Mapping):
        raise JobError(f"{whose}.execution_parameters is {own!r}; it must be a dict such as {{{CONCURRENT!r}: 4}}")
    for name, value in own.items():
        if name not in (CONCURRENT, STRATEGY, PAYLOAD):
            known = did_you_mean(str(name), [CONCURRENT, STRATEGY, PAYLOAD])
            raise JobError(f"{whose}.execution_parameters has {name!r}, which the platform does not know; {known}")
        if name == STRATEGY and value not in STRATEGIES:
            raise JobError(f"{whose}.execution_parameters[{name!r}] is {value!r}; it must be one of {STRATEGIES}")
        if name != STRATEGY and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise JobError(f"{whose}.execution_parameters[{name!r}] is {value!r}; it must be a whole number, 1 or more")
    if own.get(CONCURRENT, 1) * own.get(PAYLOAD, 1) > MOST_MB:
        raise JobError(f"{whose}.execution_parameters: {CONCURRENT} times {PAYLOAD} must be at most {MOST_MB}")
    return own


def of_script(module: ModuleType) -> Any:
    """The `execution_parameters` of an inference.py, or the answer of its execution_parameters_fn, a view of Flask by
    the convention of SageMaker's container for scikit-learn."""
    view = getattr(module, "execution_parameters_fn", None)
    if not callable(view):
        return getattr(module, "execution_parameters", {})
    from flask import Flask, make_response

    with Flask(module.__name__).test_request_context("/execution-parameters"):
        return make_response(view()).get_json(force=True, silent=True)
