"""Rows that came tokenised, and often padded to 512 → the tokens alone, checked against the model's tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification.preprocessing.rows import LABEL, ROW, TEXT, TOKENS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from datasets import Dataset

MASK, TYPES = "attention_mask", "token_type_ids"
COMPARED_ROWS = 20
LEAST_AGREEMENT = 0.5
"""The share of tokens in which the tokenised rows must agree with their texts, where there are texts."""
ADVICE = (
    "it was tokenised by another model's tokenizer, it seems: tokenise it with this model's, or bring the texts alone"
)


@dataclass(frozen=True)
class Ends:
    """The special tokens that a tokenizer puts before and after a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def ends_of(tokenizer: Any) -> Ends:
    ids = list(tokenizer("a")["input_ids"])
    is_special = [token in tokenizer.all_special_ids and token != tokenizer.unk_token_id for token in ids]
    text = [at for at, special in enumerate(is_special) if not special] or [len(ids)]
    return Ends(tuple(ids[: text[0]]), tuple(ids[text[-1] + 1 :]))


def has_pairs(data: Dataset, tokenizer: Any) -> bool:
    """Whether rows are pairs of texts, which the model is told by token_type_ids."""
    import pyarrow.compute as pc

    if TYPES not in data.column_names or TYPES not in tokenizer.model_input_names:
        return False
    batches = data.select_columns([TYPES]).with_format("arrow").iter(1000)
    return any((pc.max(pc.list_flatten(batch[TYPES])).as_py() or 0) > 0 for batch in batches)


def check_texts_agree(data: Dataset, tokenizer: Any, channel: str) -> None:
    """Raises JobError where the rows have texts too, and these give other tokens: a tokenizer of the same size can
    number its words otherwise, as BERT's for upper and lower case do."""
    if TEXT not in data.column_names:
        return
    same = known = 0
    for row in data.select(range(min(COMPARED_ROWS, len(data)))):
        expected = set(tokenizer(row[TEXT])["input_ids"]) - set(tokenizer.all_special_ids)
        found = set(row[TOKENS]) - set(tokenizer.all_special_ids)
        same, known = same + len(found & expected), known + len(found)
    if known and same / known < LEAST_AGREEMENT:
        raise JobError(
            f"channel {channel!r}: of the tokens in input_ids {same / known:.0%} are those that this model's tokenizer "
            f"makes of the same rows' texts; {ADVICE} (data.remove_columns('input_ids'))"
        )


@dataclass
class Stripper:
    """A function for `Dataset.map` over batches in Arrow's format. Counts what it cuts."""

    tokenizer: Any
    max_length: int
    channel: str
    pairs: bool

    def __post_init__(self) -> None:
        self.ends = ends_of(self.tokenizer)
        self.truncated = self.longest = 0

    def __call__(self, batch: pa.Table) -> pa.Table:
        """input_ids, labels, length, and token_type_ids of pairs. Raises JobError that names channel and row."""
        import numpy as np
        import pyarrow as pa

        self._rows = batch[ROW]
        ids, lengths = self._flat(batch, TOKENS)
        columns = {TOKENS: ids} | ({TYPES: self._types(batch, lengths)} if self.pairs else {})
        keep = self._unpadded(batch, ids, lengths)
        columns, lengths = _kept(columns, keep, lengths)
        if not lengths.all():
            raise self._error(int(np.argmin(lengths)), "has no tokens but padding; it should have those of a text")
        self._check(columns[TOKENS], lengths)
        self.longest = max(self.longest, int(lengths.max()))
        self.truncated += int((lengths > self.max_length).sum())
        columns, lengths = _kept(columns, self._short_enough(lengths), lengths)
        offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
        made = {name: pa.ListArray.from_arrays(offsets, pa.array(flat, pa.int32())) for name, flat in columns.items()}
        return pa.table(made | {"labels": batch[LABEL], "length": pa.array(lengths, pa.int32())})

    def _flat(self, batch: pa.Table, column: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """All numbers of a column of lists, one after the other, and how many each row has."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        lists = batch[column].combine_chunks().cast(pa.large_list(pa.int64()))
        lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)
        if not lengths.all():
            raise self._error(int(np.argmin(lengths)), f"has no {column}; it should have a list of numbers")
        flat = lists.flatten()
        if flat.null_count:
            row = np.repeat(np.arange(len(lengths)), lengths)[int(pc.index(flat.is_null(), True).as_py())]
            raise self._error(int(row), f"has a null among its {column}; they should be numbers")
        return np.asarray(flat, np.int64), lengths

    def _like(self, batch: pa.Table, column: str, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """A column that has a number for each of input_ids."""
        import numpy as np

        flat, found = self._flat(batch, column)
        if (found != lengths).any():
            row = int(np.argmax(found != lengths))
            raise self._error(
                row, f"has {found[row]} numbers in {column} and {lengths[row]} in {TOKENS}; they should be as many"
            )
        return flat

    def _types(self, batch: pa.Table, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        import numpy as np

        types = self._like(batch, TYPES, lengths)
        wrong = (types < 0) | (types > 1)
        if wrong.any():
            at = int(np.argmax(wrong))
            row = int(np.repeat(np.arange(len(lengths)), lengths)[at])
            raise self._error(
                row, f"has {types[at]} among its {TYPES}; they should be 0 for the first text and 1 for the second"
            )
        return types

    def _unpadded(
        self, batch: pa.Table, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which tokens are none of padding: by attention_mask, or without it those before the padding at the end."""
        import numpy as np

        if MASK in batch.column_names:
            return np.not_equal(self._like(batch, MASK, lengths), 0)
        at = np.arange(len(ids))
        starts = np.cumsum(lengths) - lengths
        last = np.maximum.reduceat(np.where(ids != self.tokenizer.pad_token_id, at, -1), starts)
        kept: npt.NDArray[np.bool_] = at <= np.repeat(last, lengths)
        return kept

    def _short_enough(self, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Cuts rows that are too long, but for the special tokens at their ends."""
        import numpy as np

        after = len(self.ends.after)
        at = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        long = np.repeat(lengths, lengths)
        kept: npt.NDArray[np.bool_] = (long <= self.max_length) | (at < self.max_length - after) | (at >= long - after)
        return kept

    def _check(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Raises JobError where this tokenizer would not have made these tokens."""
        import numpy as np

        beyond = (ids < 0) | (ids >= len(self.tokenizer))
        if beyond.any():
            at = int(np.argmax(beyond))
            row = int(np.repeat(np.arange(len(lengths)), lengths)[at])
            raise self._error(
                row,
                f"has the token {ids[at]}, and this model's vocabulary has {len(self.tokenizer):,} tokens; {ADVICE}",
            )
        ends = np.cumsum(lengths)
        if self.ends.before:
            self._check_end(ids[ends - lengths], self.ends.before[0], "begins")
        if self.ends.after:
            self._check_end(ids[ends - 1], self.ends.after[-1], "ends")

    def _check_end(self, found: npt.NDArray[np.int64], expected: int, verb: str) -> None:
        import numpy as np

        if (found != expected).any():
            row = int(np.argmax(found != expected))
            here, there = (self.tokenizer.convert_ids_to_tokens(int(token)) for token in (found[row], expected))
            raise self._error(
                row,
                f"{verb} with the token {found[row]} ({here}), and with this model's tokenizer a text {verb} with "
                f"{expected} ({there}); {ADVICE}",
            )

    def _error(self, row: int, fault: str) -> JobError:
        return JobError(f"channel {self.channel!r}: row {self._rows[row]} {fault}")


def _kept(
    columns: dict[str, npt.NDArray[np.int64]], keep: npt.NDArray[np.bool_], lengths: npt.NDArray[np.int64]
) -> tuple[dict[str, npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """The numbers that are kept, and how many each row has then."""
    import numpy as np

    starts = np.cumsum(lengths) - lengths
    return {name: flat[keep] for name, flat in columns.items()}, np.add.reduceat(keep.astype(np.int64), starts)
