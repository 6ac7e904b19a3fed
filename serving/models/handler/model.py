"""A model behind a handler class: decode, predict in batches, encode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from gevent.util import wrap_errors

from byo_container.container.discovery import HandlerReference
from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, InputError
from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.large_answers import is_large
from byo_container.serving.dialects import envelopes
from byo_container.serving.dialects.envelopes import MANY, ONE, Form
from byo_container.serving.engine import bisect_failures, streaming
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.slices import Work
from byo_container.serving.engine.streaming import Step, stepping
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY, Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models import sessions
from byo_container.serving.models.handler.class_check import create
from byo_container.serving.models.handler.predict import InputsWithContext, Predictor
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.models.servable import Reply, Request, as_request
from byo_container.serving.settings import Settings


class HandlerModel:
    """A model behind a handler: decode → predict, batched → encode."""

    def __init__(self, reference: HandlerReference, model_dir: Path, settings: Settings) -> None:
        self.batch_policy = BatchPolicy()
        self.execution_parameters: Mapping[str, Any] = {}
        self._settings = settings
        self._reference = reference
        self._model_dir = model_dir
        self._default_accept = settings.default_accept
        self._budgets = of_worker(settings.max_payload)
        if media_types.ALIASES.get(self._default_accept, self._default_accept) not in media_types.ENCODERS:
            raise JobError(
                f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {self._default_accept!r}; "
                f"it must be one of {', '.join(media_types.ENCODERS)}"
            )

    @property
    def description(self) -> dict[str, Any]:
        return {"handler": self._reference.target, "source": self._reference.source, "model": str(self._model_dir)}

    def load(self) -> None:
        name = self._reference.target
        handler = create(self._reference.load(), name)
        HandlerTraits.of(handler, name).batch_policy(self._settings)  # a mistake is reported before the model is loaded
        model = handler.load(self._model_dir)
        self._traits = HandlerTraits.of(handler, name)  # `load` may have set what depends on the model
        self._predictor = Predictor(self._traits, model, self._settings)
        self.batch_policy = self._traits.batch_policy(self._settings)
        self.execution_parameters = self._traits.execution_parameters

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        with Share(self._budgets.values) as share:
            reply = self._respond(request, submit, share)
            if reply.stream:
                share.keep_until(reply.stream.on_close)
            return reply

    def _respond(self, request: Request, submit: Callable[..., Any], share: Share) -> Reply:
        media = media_types.content_type(request.content_type)
        answer_type = streaming.accepted(request.accept, self._default_accept)
        beside = _beside_loop if len(request.body) > LARGE_BODY else _in_loop
        began = time.perf_counter()
        inputs, many = self._decoded(request.body, media, share)
        form = MANY if many else ONE
        if self._traits.batched and not many:
            inputs, form = beside(envelopes.split, inputs[0])
        if self._traits.csv_squeeze and media.name == media_types.CSV:
            inputs = beside(envelopes.squeezed, inputs)
        work = beside(self._predictor.work, inputs)
        prometheus.stages["decode"].observe(time.perf_counter() - began)
        if self._traits.takes_context:
            return self._respond_with_context(request, inputs, work, form, answer_type, submit)
        if form.parameters:
            raise RequestError(400, "this model takes no parameters; leave 'parameters' out")
        outputs = work.outputs(submit) if inputs else []
        return self._reply(outputs, form, answer_type, submit)

    def _decoded(self, body: bytes, media: media_types.MediaType, share: Share) -> tuple[list[Any], bool]:
        if len(body) <= LARGE_BODY:
            return media_types.decode(body, media)
        share.take(_beside_loop(media_types.weigh, body, media))
        with self._budgets.decoding:
            found: tuple[list[Any], bool] = _beside_loop(media_types.decode, body, media)
        return found

    def _respond_with_context(
        self, request: Request, inputs: list[Any], work: Work, form: Form, answer_type: str, submit: Callable[..., Any]
    ) -> Reply:
        """For a handler that wants to know of the requests themselves, and of their sessions."""
        context, ended = sessions.attend(self._settings.session_s, request.header, inputs)
        context.parameters = form.parameters
        if ended:
            reply = Reply(b"{}", media_types.JSON)
        else:
            outputs = work.outputs(submit, lambda inputs: InputsWithContext(inputs, context)) if inputs else []
            reply = self._reply(outputs, form, answer_type, submit)
        media = context.content_type or reply.content_type
        try:
            return replace(reply, content_type=media, headers=tuple(context.reply_headers.items()))
        except BaseException:  # a header that no answer may have: nobody will read the stream, nor close it
            if reply.stream:
                reply.stream.close()
            raise

    def _reply(self, outputs: list[Any], form: Form, answer_type: str, submit: Callable[..., Any]) -> Reply:
        streams = answer_type == streaming.EVENTS
        for number, output in enumerate(outputs, 1):
            if isinstance(output, InputError):
                raise RequestError(400, f"record {number}: {output}" if form.many else str(output))
            streams = streams or streaming.is_stream(output)
        if streams:
            within = stepping(submit, self._predictor.mode)
            stream = streaming.of_outputs(outputs, within, answer_type, form.many)
            if not form.many or answer_type == streaming.EVENTS:
                return Reply(b"", stream.content_type, stream=stream)
            outputs = list(stream.values())
        began = time.perf_counter()
        if is_large(outputs):
            body = _beside_loop(form.encode_large, outputs, answer_type)
        else:
            body = form.encode(outputs, answer_type)
        prometheus.stages["encode"].observe(time.perf_counter() - began)
        return Reply(body, media_types.labelled(answer_type))

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        if not self._traits.converse:
            return as_request(self.respond, message, conversation, submit)
        step = Step(lambda: self._predictor.converse(message, conversation))
        return streaming.values_of(step, stepping(submit, self._predictor.mode))

    def compute(self, items: list[list[Any]]) -> list[Any]:
        """`predict` on the inputs of all requests at once; where that fails, on those of half of them."""
        found = bisect_failures.outcomes(self._predictor.predict_requests, items)
        return [RequestError(400, str(one)) if isinstance(one, InputError) else one for one in found]


def _in_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _beside_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    # Errors are handed over as values: gevent would print a traceback for what is only a client's mistake.
    outcome = gevent.get_hub().threadpool.apply(wrap_errors(Exception, function), arguments)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
