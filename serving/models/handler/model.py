"""A model behind a handler class: decode, predict in batches, encode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from byo_container.container.class_check import create_for_serving
from byo_container.container.discovery import HandlerReference
from byo_container.container.failure import JobError
from byo_container.container.handler import Conversation, InputError
from byo_container.serving.codecs import decoding, encoding, media_types, negotiation
from byo_container.serving.codecs.large_answers import is_large
from byo_container.serving.codecs.media_types import EVENTS, MediaType
from byo_container.serving.codecs.stream_parts import is_stream
from byo_container.serving.dialects import dialect, plain
from byo_container.serving.dialects.inputs import Inputs
from byo_container.serving.engine import bisect_failures, streaming
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.sub_batches import RequestInputs
from byo_container.serving.engine.thread_pool import run_in_thread
from byo_container.serving.errors import RequestError
from byo_container.serving.memory_budget import LARGE_BODY, Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models import sessions
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
        handler = create_for_serving(self._reference.load(), name)
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
        began = time.perf_counter()
        inputs = self._read(request.body, media, share)
        large = len(request.body) > LARGE_BODY
        work = run_in_thread(self._predictor.work, inputs.values) if large else self._predictor.work(inputs.values)
        prometheus.stages["decode"].observe(time.perf_counter() - began)
        if self._traits.takes_context:
            return self._respond_with_context(request, inputs, work, answer_type, engine)
        if inputs.parameters:
            raise RequestError(400, "this model takes no parameters; leave 'parameters' out")
        outputs = work.outputs(engine.submit(work, request.waited_s)) if inputs.values else []
        return self._reply(outputs, inputs, answer_type, engine)

    def _read(self, body: bytes, media: MediaType, share: Share) -> Inputs:
        """The inputs in a body. A large body is read beside the event loop, once `share` has room for what it
        becomes."""
        if len(body) <= LARGE_BODY:
            return self._decode(body, media)
        share.take(run_in_thread(decoding.estimated_size, body, media))
        with self._budgets.decoding:
            return run_in_thread(self._decode, body, media)

    def _decode(self, body: bytes, media: MediaType) -> Inputs:
        values, many = decoding.decode(body, media)
        if self._traits.batched and not many:
            return dialect.read(values[0])
        if self._traits.csv_squeeze and media.name == media_types.CSV:
            values = decoding.unwrap_single_cells(values)
        return Inputs(values, many, listed=many, write=plain.write)

    def _respond_with_context(
        self, request: Request, inputs: Inputs, work: RequestInputs, answer_type: str, engine: Engine
    ) -> Reply:
        """For a handler that uses the context of its requests, and their sessions."""
        context, ended = sessions.request_context(self._settings.session_s, request.header, inputs.values)
        context.parameters = inputs.parameters
        if ended:
            reply = Reply(b"{}", media_types.JSON)
        else:
            for part in work.sub_batches or (work,):
                part.item = InputsWithContext(part.item, context)
            outputs = work.outputs(engine.submit(work, request.waited_s)) if inputs.values else []
            reply = self._reply(outputs, inputs, answer_type, engine)
        media = context.content_type or reply.content_type
        try:
            return replace(reply, content_type=media, headers=tuple(context.reply_headers.items()))
        except BaseException:  # a header that no answer may have: the stream will not be read, nor closed
            if reply.stream:
                reply.stream.close()
            raise

    def _reply(self, outputs: list[Any], inputs: Inputs, answer_type: str, engine: Engine) -> Reply:
        streams = answer_type == EVENTS
        for number, output in enumerate(outputs, 1):
            if isinstance(output, InputError):
                raise RequestError(400, f"record {number}: {output}" if inputs.many else str(output))
            streams = streams or is_stream(output)
        if streams:
            stream = streaming.of_outputs(outputs, engine, answer_type, inputs.many)
            if not inputs.many or answer_type == EVENTS:
                stream.encode_first()
                return Reply(b"", stream.content_type, stream=stream)
            outputs = list(stream.values())
        began = time.perf_counter()
        if is_large(outputs):
            body = run_in_thread(dialect.encode_large, inputs, outputs, answer_type)
        else:
            body = dialect.encode(inputs, outputs, answer_type)
        prometheus.stages["encode"].observe(time.perf_counter() - began)
        return Reply(body, media_types.labelled(answer_type))

    def converse(self, message: str | bytes, conversation: Conversation, engine: Engine) -> Iterator[Any]:
        if not self._traits.converse:
            return respond_to_message(self, message, conversation, engine)
        return streaming.answers(partial(self._predictor.converse, message, conversation), engine)
