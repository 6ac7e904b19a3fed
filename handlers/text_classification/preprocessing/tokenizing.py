"""Texts → token ids, without padding: that is the batches' matter, see padding.py."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from byo_container.container.progress import Progress, say
from byo_container.handlers.text_classification.preprocessing.rows import LABEL, TEXT, TOKENS

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

BATCH = 1000
"""Rows that are tokenised at a time; the tokenizer's threads, in Rust, share them out among all cores."""


def tokenize(data: Dataset, tokenizer: Any, max_length: int, channel: str = "train", quiet: bool = False) -> Dataset:
    """The columns input_ids (a list of at most `max_length` numbers), labels and length of each row; token_type_ids too
    where pairs of texts came tokenised. `data` is as splits.py reads it.

    The result lies in memory: datasets would write it beside the channel's files. Where `quiet`, nothing is said of
    progress and of texts that are cut. Raises JobError for rows that another tokenizer has made.
    """
    from byo_container.handlers.text_classification.preprocessing import pretokenized

    if TOKENS in data.column_names:
        pretokenized.check_texts_agree(data, tokenizer, channel)
        pairs = pretokenized.has_pairs(data, tokenizer)
        encoder: Any = pretokenized.Stripper(tokenizer, max_length, channel, pairs)
    else:
        encoder = Encoder(tokenizer, max_length)
    made = _map(data, encoder, channel, quiet)
    if encoder.truncated and not quiet:
        say(
            f"channel {channel!r}: {encoder.truncated:,} of {len(made):,} texts are longer than {max_length} tokens "
            f"(max_length) and cut; the longest had {encoder.longest:,}"
        )
    return made


def _map(data: Dataset, encoder: Any, channel: str, quiet: bool) -> Dataset:
    """`Dataset.map` in memory, and with a fingerprint that need not be computed from the tokenizer's pickle."""
    from datasets.fingerprint import generate_random_fingerprint

    arrow = data.with_format("arrow")
    with contextlib.nullcontext() if quiet else Progress(f"tokenizing {channel}", len(data), "texts") as progress:

        def encode(batch: pa.Table) -> pa.Table:
            made = encoder(batch)
            if progress:
                progress.advance(made.num_rows)
            return made

        made = arrow.map(
            encode,
            batched=True,
            batch_size=BATCH,
            remove_columns=data.column_names,
            keep_in_memory=True,
            load_from_cache_file=False,
            new_fingerprint=generate_random_fingerprint(),
        )
    return made.with_format(None)


@dataclass
class Encoder:
    """A function for `Dataset.map` over batches in Arrow's format. Counts what it cuts."""

    tokenizer: Any
    max_length: int
    truncated: int = 0
    longest: int = 0

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        texts = batch[TEXT].to_pylist()
        encoded = self._encode(texts, truncation=True, max_length=self.max_length)
        lengths = [len(ids) for ids in encoded]
        self._count([text for text, length in zip(texts, lengths, strict=True) if length >= self.max_length])
        return pa.table(
            {
                TOKENS: pa.array(encoded, pa.list_(pa.int32())),
                "labels": batch[LABEL],
                "length": pa.array(lengths, pa.int32()),
            }
        )

    def _encode(self, texts: list[str], **options: Any) -> Any:
        return self.tokenizer(
            texts, return_attention_mask=False, return_token_type_ids=False, verbose=False, **options
        )["input_ids"]

    def _count(self, full: list[str]) -> None:
        """Of the texts that fill `max_length`, those that were longer."""
        if full:
            lengths = [len(ids) for ids in self._encode(full)]
            self.longest = max(self.longest, *lengths)
            self.truncated += sum(length > self.max_length for length in lengths)
