"""A model behind a handler class: decode, predict in batches, encode."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from byo_container.container.discovery import HandlerReference
from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, InputError
from byo_container.serving.codecs import decoding, encoding, media_types, negotiation
from byo_container.serving.codecs.large_answers import is_large
from byo_container.serving.codecs.media_types import EVENTS
from byo_container.serving.codecs.stream_parts import is_stream
from byo_container.serving.dialects import envelopes
from byo_container.serving.dialects.envelopes import MANY, ONE, Form
from byo_container.serving.engine import bisect_failures, streaming
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.sub_batches import RequestInputs
from byo_container.serving.engine.thread_pool import Result, run_in_thread
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY, Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models import sessions
from byo_container.serving.models.handler.class_check import create
from byo_container.serving.models.handler.predict import InputsWithContext, Predictor
from byo_container.serving.models.handler.traits import HandlerTraits
from byo_container.serving.models.servable import Reply, Request, respond_to_message
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
        if media_types.ALIASES.get(self._default_accept, self._default_accept) not in encoding.ENCODERS:
            raise JobError(
                f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {self._default_accept!r}; "
                f"it must be one of {', '.join(encoding.ENCODERS)}"
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

    def context(self) -> AbstractContextManager[Any]:
        return self._predictor.context()

    def compute(self, items: list[list[Any]]) -> list[Any]:
        """`predict` on the inputs of all requests at once; where that fails, on those of half of them."""
        return bisect_failures.run(self._predictor.predict_requests, items)

    def respond(self, request: Request, engine: Engine) -> Reply:
        with Share(self._budgets.values) as share:
            reply = self._respond(request, engine, share)
            if reply.stream:
                share.keep_until(reply.stream.on_close)
            return reply

    def _respond(self, request: Request, engine: Engine, share: Share) -> Reply:
        media = media_types.content_type(request.content_type)
        answer_type = negotiation.answer_type_or_events(request.accept, self._default_accept)
        run = run_in_thread if len(request.body) > LARGE_BODY else _run_here
        began = time.perf_counter()
        inputs, many = self._decoded(request.body, media, share)
        form = MANY if many else ONE
        if self._traits.batched and not many:
            inputs, form = run(envelopes.split, inputs[0])
        if self._traits.csv_squeeze and media.name == media_types.CSV:
            inputs = run(envelopes.squeezed, inputs)
        work = run(self._predictor.work, inputs)
        prometheus.stages["decode"].observe(time.perf_counter() - began)
        if self._traits.takes_context:
            return self._respond_with_context(request, inputs, work, form, answer_type, engine)
        if form.parameters:
            raise RequestError(400, "this model takes no parameters; leave 'parameters' out")
        outputs = work.outputs(engine.submit(work, request.waited_s)) if inputs else []
        return self._reply(outputs, form, answer_type, engine)

    def _decoded(self, body: bytes, media: media_types.MediaType, share: Share) -> tuple[list[Any], bool]:
        """The inputs in a body, and whether its media type holds several records. A large body is decoded beside the
        event loop, after `share` has room for what it becomes."""
        if len(body) <= LARGE_BODY:
            return decoding.decode(body, media)
        share.take(run_in_thread(decoding.estimated_size, body, media))
        with self._budgets.decoding:
            return run_in_thread(decoding.decode, body, media)

    def _respond_with_context(
        self, request: Request, inputs: list[Any], work: RequestInputs, form: Form, answer_type: str, engine: Engine
    ) -> Reply:
        """For a handler that uses the context of its requests, and their sessions."""
        context, ended = sessions.attend(self._settings.session_s, request.header, inputs)
        context.parameters = form.parameters
        if ended:
            reply = Reply(b"{}", media_types.JSON)
        else:
            for part in work.sub_batches or (work,):
                part.item = InputsWithContext(part.item, context)
            outputs = work.outputs(engine.submit(work, request.waited_s)) if inputs else []
            reply = self._reply(outputs, form, answer_type, engine)
        media = context.content_type or reply.content_type
        try:
            return replace(reply, content_type=media, headers=tuple(context.reply_headers.items()))
        except BaseException:  # a header that no answer may have: the stream will not be read, nor closed
            if reply.stream:
                reply.stream.close()
            raise

    def _reply(self, outputs: list[Any], form: Form, answer_type: str, engine: Engine) -> Reply:
        streams = answer_type == EVENTS
        for number, output in enumerate(outputs, 1):
            if isinstance(output, InputError):
                raise RequestError(400, f"record {number}: {output}" if form.many else str(output))
            streams = streams or is_stream(output)
        if streams:
            stream = streaming.of_outputs(outputs, engine, answer_type, form.many)
            if not form.many or answer_type == EVENTS:
                return Reply(b"", stream.content_type, stream=stream)
            outputs = list(stream.values())
        began = time.perf_counter()
        if is_large(outputs):
            body = run_in_thread(form.encode_large, outputs, answer_type)
        else:
            body = form.encode(outputs, answer_type)
        prometheus.stages["encode"].observe(time.perf_counter() - began)
        return Reply(body, media_types.labelled(answer_type))

    def converse(self, message: str | bytes, conversation: Conversation, engine: Engine) -> Iterator[Any]:
        if not self._traits.converse:
            return respond_to_message(self, message, conversation, engine)
        return streaming.answers(partial(self._predictor.converse, message, conversation), engine)


def _run_here(function: Callable[..., Result], *arguments: Any) -> Result:
    return function(*arguments)
