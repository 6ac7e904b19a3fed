"""Transformers, datasets and accelerate without bars and reports of their own: the log has our lines."""

from __future__ import annotations

import logging
import os
import warnings


def silence_libraries() -> None:
    """To be called before the first of them is imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import datasets

    silence_transformers()
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def silence_transformers() -> None:
    """Transformers alone, which is all that serving needs."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
