"""Texts → the scores of the labels, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.handler import InputError
from byo_container.handlers.text_classification import artifact, model_parts
from byo_container.handlers.text_classification.inference import networks, scores
from byo_container.handlers.text_classification.inference.encoding import Encoded, Encoder
from byo_container.handlers.text_classification.requests import DEFAULTS, Scores, Text


class Predictor:
    """Classifies texts. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Loads the model and computes once, so that no request waits for the first call's set-up. Raises JobError
        where the model is missing or damaged."""
        loaded = artifact.load(folder)
        config = loaded.config
        self.labels = model_parts.labels_of(loaded.source, config)
        self._function = scores.default_function(config)
        self._encoder = Encoder(loaded.tokenizer, loaded.max_length)
        self._padding = loaded.tokenizer.pad_token_id
        self._network = networks.load(loaded)
        self._warm_up(loaded.source)

    def _warm_up(self, source: str) -> None:
        """Raises JobError where the parts of the model do not fit, or it computes no numbers."""
        texts = [Text("warm up", None, DEFAULTS), Text("warm up for a batch", None, DEFAULTS)]
        try:
            encoded = [one for one in self._encoder.encode(texts) if isinstance(one, Encoded)]
            logits = [self._network.run(batch, self._padding) for batch in (encoded[:1], encoded) if batch]
        except Exception as error:  # of PyTorch, ONNX Runtime or the tokenizer, each of its own kind
            reason = " ".join(str(error).split())[:300]
            raise JobError(
                f"the model in {source} cannot classify a text: {type(error).__name__}: {reason}; {model_parts.ADVICE}"
            ) from error
        model_parts.check_outputs(source, self.labels, [row for rows in logits for row in rows])

    def classify(self, texts: Sequence[Text]) -> list[Scores | InputError]:
        """For each text (label, score) of every label, in the model's order, or what is wrong with it."""
        found: list[Any] = self._encoder.encode(texts)
        right = [number for number, one in enumerate(found) if isinstance(one, Encoded)]
        rows = self._network.compute([found[number] for number in right], self._padding)
        for number, logits in zip(right, rows, strict=True):
            found[number] = self._scores(logits, texts[number].parameters.function_to_apply)
        return found

    def _scores(self, logits: list[float], function: str | None) -> Scores:
        chosen = self._function if function in (None, "default") else function
        return list(zip(self.labels, scores.apply(str(chosen), logits), strict=True))
