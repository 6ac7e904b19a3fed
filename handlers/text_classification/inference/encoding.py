"""Texts → token ids, as a request wants them truncated."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from byo_container.container.handler import InputError
from byo_container.handlers.text_classification.requests import DEFAULTS, Text

CHARACTERS_A_TOKEN = 200
"""A text of more is cut before it is made tokens of: 512 tokens are never that long, and a megabyte takes a second."""

MOST_CHARACTERS = 200_000
"""Of a text that must not be truncated. All requests of a worker wait for its tokenizer, which takes a second for a
megabyte."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text."""

    ids: list[int]
    types: list[int]
    """0 for tokens of the first text, 1 for those of the second; empty for a model that does not tell them apart."""


class Encoder:
    """Thread-safe; a tokenizer of Transformers' is not, as each call sets how it truncates."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._has_types = "token_type_ids" in tokenizer.model_input_names
        self._lock = threading.Lock()
        self._special = {pair: tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True)}

    def encode(self, texts: Sequence[Text]) -> list[Encoded | InputError]:
        """For each text its tokens, or what is wrong with it."""
        found: dict[int, Encoded | InputError] = {}

        def kind(number: int) -> tuple[bool, str, int]:
            text = texts[number]
            return (text.pair is not None, *self._truncation(text))

        order = range(len(texts))
        if any(text.parameters is not DEFAULTS or text.pair is not None for text in texts):
            order = sorted(order, key=kind)  # type: ignore[assignment]
        for (paired, strategy, length), numbers in groupby(order, key=kind):
            group = list(numbers)
            encoded = self._encode([texts[number] for number in group], paired, strategy, length)
            found.update(zip(group, encoded, strict=True))
        return [found[number] for number in range(len(texts))]

    def _truncation(self, text: Text) -> tuple[str, int]:
        """The tokenizer's strategy, and the length."""
        wanted, asked = text.parameters.truncation, text.parameters.max_length
        length = min(asked or self._max_length, self._max_length)
        if isinstance(wanted, str):
            return wanted, length
        return ("longest_first" if wanted else "do_not_truncate"), length

    def _encode(self, texts: list[Text], paired: bool, strategy: str, length: int) -> list[Encoded | InputError]:
        if length <= (special := self._special[paired]):
            fault = InputError(f"'max_length' is {length}, and {special} tokens are special; ask for more")
            return [fault] * len(texts)
        if strategy in ("only_first", "only_second"):
            return [self._of_one_side(text, paired, strategy, length) for text in texts]
        return self._tokenized(texts, paired, strategy, length)

    def _of_one_side(self, text: Text, paired: bool, strategy: str, length: int) -> Encoded | InputError:
        """By itself: a text that this way cannot make short enough is an exception of the tokenizer's for all texts."""
        try:
            return self._tokenized([text], paired, strategy, length)[0]
        except Exception:  # of a kind that the tokenizers' Rust part makes up, or Transformers
            return InputError(
                f'the text cannot be cut to {length} tokens by "truncation": "{strategy}"; "longest_first" or true can'
            )

    def _tokenized(self, texts: list[Text], paired: bool, strategy: str, length: int) -> list[Encoded | InputError]:
        truncates = strategy != "do_not_truncate"
        cut = CHARACTERS_A_TOKEN * length if truncates else MOST_CHARACTERS
        first = [text.text[:cut] for text in texts]
        second = [(text.pair or "")[:cut] for text in texts] if paired else None
        with self._lock:
            encoded = self._tokenizer(
                first,
                second,
                truncation=strategy,
                max_length=length if truncates else None,
                return_attention_mask=False,
                verbose=False,
            )
        return list(self._checked(encoded))

    def _checked(self, encoded: Any) -> Iterator[Encoded | InputError]:
        rows = encoded["input_ids"]
        types = encoded["token_type_ids"] if self._has_types else [[]] * len(rows)
        for ids, kinds in zip(rows, types, strict=True):
            if len(ids) > self._max_length:
                yield InputError(
                    f"the text has {len(ids):,} tokens, and the model takes {self._max_length:,}; shorten it, or send "
                    '"parameters": {"truncation": true}'
                )
            elif not ids:
                yield InputError("the text has no token, as the model's tokenizer reads it; it should hold a word")
            else:
                yield Encoded(ids, kinds)
