"""Whether the parts of a model belong together: config.json, weights and tokenizer. Standard library only.

Transformers puts random numbers where the weights lack what config.json describes, and reads a file that it cannot
open as if it were not there: a model that answers, and knows nothing. Each check raises JobError.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from byo_container.container.failure import JobError

ADVICE = "bring all files as one save_pretrained wrote them"
SHOWN = 3


def check_weights(source: str, model: Any, info: Mapping[str, Any], new_head: bool = False) -> None:
    """`info` is what from_pretrained tells of loading `model`. With `new_head` the encoder alone counts, and not its
    pooler, which models that were not made to classify lack."""
    encoder = f"{model.base_model_prefix}."

    def counts(name: str) -> bool:
        return not new_head or (name.startswith(encoder) and not name.startswith(f"{encoder}pooler."))

    other = sorted(each for each in info["mismatched_keys"] if counts(each[0]))
    lacking = sorted(filter(counts, info["missing_keys"]))
    if other:
        name, there, described = other[0]
        more = f", and so have {len(other) - 1} more other shapes" if other[1:] else ""
        raise JobError(
            f"{source}: config.json and the weights do not belong together: {name} has the shape {tuple(there)} in the "
            f"weights, and {tuple(described)} by config.json{more}; {ADVICE}"
        )
    if lacking:
        raise JobError(
            f"{source}: config.json and the weights do not belong together: by config.json it is a "
            f"{type(model).__name__}, and the weights lack {_some(lacking)}; {ADVICE}"
        )


def check_vocabulary(source: str, tokenizer: Any, embeddings: int | None) -> None:
    """`embeddings` are the tokens that the model knows; None where config.json does not say."""
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    if embeddings is not None and tokens > embeddings:
        raise JobError(
            f"{source}: the tokenizer has {tokens:,} tokens and the model embeddings for {embeddings:,}; they do not "
            "belong together"
        )
    if tokenizer.pad_token_id is None:
        raise JobError(f"{source}: the tokenizer has no token for padding, so batches cannot be made")


def check_length(source: str, tokenizer: Any, max_length: int) -> None:
    """That a text of `max_length` tokens has more than special ones."""
    special = tokenizer.num_special_tokens_to_add()
    if max_length <= special:
        raise JobError(
            f"{source}: a text may have {max_length} tokens, and {special} of them are special ones; model_max_length "
            "in tokenizer_config.json, or max_position_embeddings in config.json, is wrong"
        )


def whole(model_max_length: Any) -> int:
    """The tokenizer's limit as a number of tokens."""
    number = model_max_length
    if isinstance(number, bool) or not isinstance(number, int | float) or number % 1:
        raise JobError(f"model_max_length in tokenizer_config.json is {number!r}; it should be a whole number")
    return int(number)


def labels_of(source: str, config: Any) -> list[str]:
    """The names of the labels, by number."""
    named: Mapping[int, Any] = config.id2label
    if sorted(named) != list(range(len(named))):
        raise JobError(
            f"{source}: id2label in config.json has the numbers {_some(sorted(named))}; it should have 0 to "
            f"{len(named) - 1}"
        )
    for number, name in named.items():
        if not isinstance(name, str | int | float) or not _is_unicode(str(name)):
            raise JobError(f"{source}: id2label in config.json has {name!r} for {number}; it should be a name")
    return [str(named[number]) for number in range(len(named))]


def check_outputs(source: str, labels: Sequence[str], logits: Sequence[Sequence[float]]) -> None:
    """That the model computes a number for each label."""
    for row in logits:
        if len(row) != len(labels):
            raise JobError(
                f"{source}: config.json has {len(labels)} labels (id2label), and the model computes {len(row)} scores; "
                f"{ADVICE}"
            )
        wrong = [number for number in row if not math.isfinite(number)]
        if wrong:
            raise JobError(
                f"{source}: the model computes {wrong[0]} in place of scores; its weights are damaged, or "
                f"MODEL_PRECISION is too coarse for them: {ADVICE}"
            )


def _is_unicode(text: str) -> bool:
    return text.encode(errors="replace").decode() == text


def _some(names: Iterable[Any]) -> str:
    listed = list(map(str, names))
    more = f" and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
