"""The interface of a handler: the class that brings a model, and what `serve` passes to it besides the inputs.

docs/handlers.md is the guide; its examples are run by the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from byo_container.container.job import TrainingJob

PREFIX = "X-Amzn-SageMaker-"


class InputError(Exception):
    """An input that cannot be predicted. The client gets status 400 and this message, which should say what would be
    right. Raise it to refuse the whole request, or return it in place of one output."""


@dataclass
class RequestContext:
    """The request that an input came with, and the headers of its response.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
    """

    header: Callable[[str], str]
    """Returns a request header by its name, in any case; "" where the client sent none."""
    session: Path | None = None
    """The folder of the client's session, shared by all workers; None without a session (SessionId NEW_SESSION)."""
    reply_headers: dict[str, str] = field(default_factory=dict)
    """Headers to send with the response."""
    content_type: str = ""
    """Set it to send the output in a media type of the model's own choice, such as audio/wav."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The "parameters" that the client sent beside "instances" or "inputs", for a handler with `batched = True`."""

    @property
    def custom_attributes(self) -> str:
        """The client's custom attributes: at most 1024 ASCII characters."""
        return self.header(f"{PREFIX}Custom-Attributes")

    @property
    def inference_id(self) -> str:
        """The client's inference id."""
        return self.header(f"{PREFIX}Inference-Id")

    @property
    def target_variant(self) -> str:
        """The production variant that the client named."""
        return self.header(f"{PREFIX}Target-Variant")

    def reply_custom_attributes(self, text: str) -> None:
        """Sends custom attributes back; by default none are sent. Raises ValueError where the platform would refuse
        them."""
        if len(text) > 1024 or not (text.isascii() and text.isprintable()):
            raise ValueError(f"custom attributes are at most 1024 printable ASCII characters, not {text[:50]!r}")
        self.reply_headers[f"{PREFIX}Custom-Attributes"] = text


Invocation = RequestContext
"""The former name of RequestContext."""


@dataclass
class Conversation:
    """A WebSocket connection."""

    header: Callable[[str], str]
    """Returns a header of the opening request by its name, in any case; "" where the client sent none."""
    state: dict[str, Any] = field(default_factory=dict)
    """What the handler remembers between two messages of this connection."""


class Handler:
    """A model for `train` and `serve`. Override `load` and `predict` to serve it, `train` to train it; everything else
    has a default:

        class Iris(Handler):
            batched = True

            def train(self, job):
                table = np.loadtxt(job.channel("training").files("*.csv")[0], delimiter=",")
                model = LogisticRegression().fit(table[:, :-1], table[:, -1])
                joblib.dump(model, job.model_dir / "model.joblib")

            def load(self, model_dir):
                return joblib.load(model_dir / "model.joblib")

            def predict(self, model, inputs):
                return model.predict(np.asarray(inputs, dtype=float))

    The class is instantiated without arguments, once in a training process and once in each server worker. Deriving
    from Handler is optional: any class with the right methods is a handler.

    The attributes and methods, by what they are about:

        training                 Hyperparameters, train
        serving                  load, predict or predict_with_context, converse, inference_mode
        the meaning of a request batched, csv_squeeze, split, join
        batching                 batch_size, batch_delay_ms, batch_cost, cost
        batch transform          execution_parameters

    The environment variables MODEL_SERVER_BATCH_SIZE, MODEL_SERVER_BATCH_DELAY_MS and MODEL_SERVER_BATCH_COST take
    precedence over the attributes.
    """

    Hyperparameters: ClassVar[type[Any] | None] = None
    """A dataclass that declares the hyperparameters: `job.hyperparameters` is an instance of it, typed and checked.
    None: `job.hyperparameters` is a dict of whatever the job has, decoded from JSON."""

    batched: bool = False
    """True: the items of a JSON list, of {"instances": […]} and {"inputs": […]}, and the rows of an npy array are
    inputs. False: a JSON or npy body is one input, whatever it holds."""

    csv_squeeze: bool = False
    """True: a CSV row of one cell is a text, as a line of text/plain is. False: it is a list of one text."""

    batch_size: int | None = None
    """The most inputs in one call of `predict`; a larger request is split into several calls. None: requests are
    batched up to 32 inputs, and a larger request is passed in one call."""

    batch_delay_ms: float = 0
    """How long a request waits for more requests while nothing is computed, in milliseconds."""

    batch_cost: float = math.inf
    """The most that a batch may cost: the maximum `cost` of its inputs times their number, as padding makes it."""

    inference_mode: bool = True
    """False: PyTorch computes gradients in `predict`. True: it runs under torch.inference_mode."""

    execution_parameters: Mapping[str, Any] = {}
    """What batch transform should send: MaxConcurrentTransforms, MaxPayloadInMB and BatchStrategy, all optional."""

    def train(self, job: TrainingJob[Any]) -> None:
        """Trains, and leaves in `job.model_dir` what `load` needs. On SIGTERM JobStopped is raised in it."""
        raise NotImplementedError(f"{type(self).__name__} has no method train(job)")

    def load(self, model_dir: Path) -> Any:
        """Returns the model, ready to predict. Called once in each server worker; `model_dir` is read-only."""
        raise NotImplementedError(f"{type(self).__name__} has no method load(model_dir)")

    def predict(self, model: Any, inputs: list[Any]) -> Any:
        """Returns one output for each input, in order: a list, a tuple, an array or tensor (along its first axis), a
        Series, or a data frame (a dict for each row). Anything else fails the request with status 500.

        `inputs` come from one request, or from several that waited together. If `predict` raises, it is called again
        with half of the requests, and so on, until the request at fault stands alone. An output may be an InputError,
        which fails that input alone, or an iterator, which is sent part by part as it is computed: texts and bytes as
        they are, other values as JSON lines."""
        raise NotImplementedError(f"{type(self).__name__} has no method predict(model, inputs)")

    def predict_with_context(self, model: Any, inputs: list[Any], contexts: list[RequestContext]) -> Any:
        """As `predict`, which it replaces, with the RequestContext of each input: headers, sessions, parameters.
        A plain class gets the same by a parameter of `predict` called `requests`."""
        return self.predict(model, inputs)

    def converse(self, model: Any, message: str | bytes, conversation: Conversation) -> Any:
        """Returns the answer to one WebSocket message: a text, bytes, a value that is sent as JSON, an iterator of
        those, which are sent as they are computed, or None for no answer. Without it a message is an input for
        `predict`."""
        raise NotImplementedError(f"{type(self).__name__} has no method converse")

    def cost(self, input: Any) -> float:  # noqa: A002
        """Returns how expensive an input is, such as its length: inputs of similar cost are batched together. Called in
        the event loop, so it must be fast. Only an override has an effect."""
        raise NotImplementedError(f"{type(self).__name__} has no method cost(input)")

    def split(self, input: Any) -> list[Any] | None:  # noqa: A002
        """Returns the inputs that one input holds, or None where it is a single one, so that a large input takes
        several calls of `predict`. Override it together with `join`."""
        return None

    def join(self, input: Any, outputs: list[Any]) -> Any:  # noqa: A002
        """Returns the output for an input that `split` has split, from the outputs for its parts. An InputError among
        them is for `join` to pass on."""
        return outputs


def overridden(handler: object, method: str) -> Any:
    """A method of a handler, or of a handler class; None where it has none, or only the default of Handler."""
    found = getattr(handler, method, None)
    return None if getattr(found, "__func__", found) is getattr(Handler, method) else found
