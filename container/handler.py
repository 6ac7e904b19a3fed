"""What a handler is: the class that brings a model, and what it is given besides the model's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from byo_container.container.job import TrainingJob

PREFIX = "X-Amzn-SageMaker-"


class InputError(Exception):
    """One input that cannot be predicted. The client gets status 400 and this message, which should say
    what would be right. Raise it for a request, or return it in place of one output."""


@dataclass
class RequestContext:
    """The request that an input came with, for handlers that ask: what the platform says in its headers, and what is
    to be said in the answer's. Source: the API InvokeEndpoint of SageMaker's runtime."""

    header: Callable[[str], str]
    """Any header by its name; empty where there is none."""
    session: Path | None = None
    """A folder of the session's own, where one was opened (SessionId NEW_SESSION); every worker sees it."""
    reply_headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    """Set it where the answer is of a media type of the model's own choice, such as audio/wav."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the client sent as "parameters" beside "instances" or "inputs", to a handler that is `batched`."""

    @property
    def custom_attributes(self) -> str:
        """At most 1024 characters of ASCII that the client sent along."""
        return self.header(f"{PREFIX}Custom-Attributes")

    @property
    def inference_id(self) -> str:
        return self.header(f"{PREFIX}Inference-Id")

    @property
    def target_variant(self) -> str:
        return self.header(f"{PREFIX}Target-Variant")

    def reply_custom_attributes(self, text: str) -> None:
        """Sends custom attributes back; without it the client gets none. Raises ValueError for what is none."""
        if len(text) > 1024 or not (text.isascii() and text.isprintable()):
            raise ValueError(f"custom attributes are at most 1024 printable ASCII characters, not {text[:50]!r}")
        self.reply_headers[f"{PREFIX}Custom-Attributes"] = text


Invocation = RequestContext  # its name before version 0.4


@dataclass
class Conversation:
    """A WebSocket, from its opening to its end: what its first request said, and a place for what the handler wants to
    remember between two messages."""

    header: Callable[[str], str]
    state: dict[str, Any] = field(default_factory=dict)


class Handler(Protocol):
    """A model. `train` may be left out by one that is only served, `load` and `predict` by one that is only
    trained. A dataclass `Hyperparameters` in the class declares what `job.hyperparameters` will be.

    docs/handlers.md has a table of what `inputs` hold by content type, and one of what an output may be. What a class
    may say besides, of what it takes and of how requests are put together for `predict` (MODEL_SERVER_BATCH_* have the
    last word):

        batched = True          # a list in JSON, {"instances": […]}, {"inputs": …} and the rows of an npy are inputs;
                                # else JSON and npy hold one input, whatever it is
        csv_squeeze = True      # a row of CSV that has one cell is a text, as a line of text/plain is
        batch_size = 16         # never more inputs in one call; without it 32, and a larger request in one call
        batch_delay_ms = 5      # how long a request waits for company while nothing is computed; else 0
        def cost(self, input):  # such as its length, in the event loop, so cheap: alike goes with alike, cheapest first
            return len(input)
        batch_cost = 4096       # the most for a batch: its dearest input's cost times its inputs, as padding makes it
        def split(self, input):         # of an input that holds several, these, so that a large one is no single call;
            return None                 # None for any other
        def join(self, input, outputs): # the output for such an input, from those for what split returned
            return outputs
        execution_parameters = {"MaxConcurrentTransforms": 4, "MaxPayloadInMB": 6}  # for batch transform
        inference_mode = False  # a PyTorch model that needs gradients to predict; else torch.inference_mode is on
    """

    def train(self, job: TrainingJob[Any]) -> None:
        """Trains, and leaves in job.model_dir what `load` needs."""

    def load(self, model_dir: Path) -> Any:
        """The model, ready to predict. Called once in every server worker; model_dir is read-only."""

    def predict(self, model: Any, inputs: list[Any]) -> list[Any]:
        """A list with one output for each input, in order; or a tuple, an array or tensor (along its first axis), a
        Series, a data frame (a dict for each row). Anything else fails the request with 500, and the log says why.

        Where it raises, it is called again with the inputs of half of the requests, until who is to blame stands alone.
        An output may be an InputError: that input fails alone. One that is an iterator (a generator, say) is sent part
        by part as it comes: texts and bytes as they are, other values as lines of JSON.

        One with a parameter `requests` gets there the RequestContext of each input."""

    def converse(self, model: Any, message: str | bytes, conversation: Conversation) -> Any:
        """What to answer to one message of a WebSocket: a text, bytes, a value that is sent as JSON, an iterator of
        those, which are sent as they come, or None. May be left out: a message is then an input for `predict`."""
