"""Pipelines of Transformers, for scripts and clients that know those of Transformers 4."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

NAME = "return_all_scores"


def provide() -> None:
    """Lets the pipeline of text classification take `return_all_scores`, where it is imported: Transformers 5 hands it
    to the tokenizer, which ignores it, so that only the best label is returned."""
    module = sys.modules.get("transformers.pipelines.text_classification")
    pipeline: Any = getattr(module, "TextClassificationPipeline", None)
    if pipeline is None or NAME in inspect.signature(pipeline._sanitize_parameters).parameters:
        return
    original = pipeline._sanitize_parameters

    def sanitize(self: Any, *positional: Any, return_all_scores: bool | None = None, **given: Any) -> Any:
        preprocess, forward, postprocess = original(self, *positional, **given)
        if return_all_scores is not None and "top_k" not in given:
            # Its results are in the model's order, and that of a single text is in a list.
            postprocess |= {"top_k": None if return_all_scores else 1, "_legacy": True}
        return preprocess, forward, postprocess

    functools.update_wrapper(sanitize, original)
    del sanitize.__wrapped__  # type: ignore[attr-defined]  # the signature is this one's
    pipeline._sanitize_parameters = sanitize
