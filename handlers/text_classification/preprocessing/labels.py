"""Labels as they were read, names or numbers → numbers, alike in all splits. Standard library only."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from byo_container.container.failure import JobError
from byo_container.container.suggest import did_you_mean
from byo_container.handlers.text_classification.preprocessing.rows import Rows, Tell, listed, shortened

MOST_LABELS_TO_LIST = 20
MOST_DIGITS = 40
"""Of a label that is a number."""
ONE_FOR_EACH = 50
"""Rows from which on a label of its own for every row is taken for a mistake."""


def number(parts: Mapping[str, Rows], tell: Tell) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """The names of the labels, and by channel the number of each row's label, an index of the names.

    Names of a ClassLabel keep their order; other names are sorted, numbers as numbers. `parts` has "train".
    Raises JobError for labels that are missing, of a wrong kind, or not in train, and where there is one only.
    """
    given = _common_names(parts)
    keys = {channel: [_key(rows, row, given) for row in range(len(rows.labels))] for channel, rows in parts.items()}
    numeric = given is None and _are_numbers(parts, keys)
    found = collections.Counter(keys["train"])
    names = given or tuple(sorted(found, key=int if numeric else str))
    _check_train(parts["train"], found, names)
    for channel in keys:
        if channel != "train":
            _compare(parts[channel], keys[channel], found, tell)
    if numeric:
        _tell_gaps(names, tell)
    if unused := [name for name in names if name not in found]:
        tell(f"warning: channel 'train' has no row with the label {listed(unused, MOST_LABELS_TO_LIST)}")
    numbers = {name: at for at, name in enumerate(names)}
    return names, {channel: [numbers[key] for key in values] for channel, values in keys.items()}


def _common_names(parts: Mapping[str, Rows]) -> tuple[str, ...] | None:
    """The names that come with the data, which must be the same wherever there are any."""
    named = {channel: rows.names for channel, rows in parts.items() if rows.names}
    first = next(iter(named), None)
    for channel, names in named.items():
        if first is not None and names != named[first]:
            raise JobError(
                f"the channels {first!r} and {channel!r} have different names of labels: {listed(named[first] or ())} "
                f"and {listed(names or ())}; they should be the same, in the same order"
            )
    return named[first] if first is not None else None


def _key(rows: Rows, row: int, names: Sequence[str] | None) -> str:
    """The label as text; the name of a number, where numbers have names."""
    value = rows.labels[row]
    if isinstance(value, str) and (name := value.strip()):
        # A channel of CSV may have the numbers, where another has their names too.
        return _name(rows, row, int(name), names) if names and _is_whole(name) and name not in names else name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return _name(rows, row, value, names)
    where = f"channel {rows.channel!r}: {rows.place(row)}"
    if value is None or isinstance(value, str) or value != value:
        missing = sum(one is None or one != one or (isinstance(one, str) and not one.strip()) for one in rows.labels)
        also = "every row" if missing == len(rows.labels) else f"{missing:,} of {len(rows.labels):,} rows"
        raise JobError(f"{where} has no label ({also}); each text should have one")
    if isinstance(value, float):
        raise JobError(
            f"{where} has the label {value!r}, a decimal number; labels should be names or whole numbers (a missing "
            "label turns a column of pandas into decimal numbers: drop those rows, and convert by astype(int))"
        )
    raise JobError(f"{where} has the label {shortened(str(value))}; it should be one name or one whole number")


def _name(rows: Rows, row: int, value: int, names: Sequence[str] | None) -> str:
    if value < 0:
        raise JobError(
            f"channel {rows.channel!r}: {rows.place(row)} has the label {value}, which means no label (test sets whose "
            "answers are secret have it); each text should have one"
        )
    if names is None:
        return str(value)
    if value >= len(names):
        raise JobError(
            f"channel {rows.channel!r}: {rows.place(row)} has the label {value}, and there are {len(names)} names of "
            f"labels, numbered from 0: {listed(names)}"
        )
    return names[value]


def _are_numbers(parts: Mapping[str, Rows], keys: Mapping[str, Sequence[str]]) -> bool:
    """Whether every label is a whole number. Raises JobError where they are decimal numbers."""
    found = {key for values in keys.values() for key in values}
    if all(map(_is_whole, found)):
        return True
    if all(_is_float(key) for key in found):
        channel, row = next(
            (channel, row) for channel, values in keys.items() for row, key in enumerate(values) if not _is_whole(key)
        )
        raise JobError(
            f"channel {channel!r}: {parts[channel].place(row)} has the label {shortened(keys[channel][row])}; labels "
            "should be names or whole numbers from 0"
        )
    return False


def _is_whole(key: str) -> bool:
    """Whether it is a number; a longer one is a name, and Python would refuse one of thousands of digits."""
    return key.isdecimal() and len(key) <= MOST_DIGITS


def _is_float(key: str) -> bool:
    try:
        float(key)
    except ValueError:
        return False
    return True


def _check_train(rows: Rows, found: Mapping[str, int], names: Sequence[str]) -> None:
    if len(found) == 1:
        raise JobError(
            f"channel {rows.channel!r}: every row has the label {next(iter(found))!r}; there should be two labels at "
            "least"
        )
    if ONE_FOR_EACH <= len(rows.labels) == len(found):
        raise JobError(
            f"channel {rows.channel!r}: each of {len(found):,} rows has a label of its own, such as "
            f"{listed([shortened(one) for one in found], 3)}; is another column the label?"
        )
    unknown = [name for name in found if name not in names]
    if unknown:
        row = next(at for at, value in enumerate(rows.labels) if str(value).strip() == unknown[0])
        raise JobError(
            f"channel {rows.channel!r}: {rows.place(row)} has the label {shortened(unknown[0])}; "
            f"{did_you_mean(unknown[0], names)}"
        )


def _compare(rows: Rows, keys: Sequence[str], trained: Mapping[str, int], tell: Tell) -> None:
    """Raises JobError for labels that the channel `train` lacks; tells of those that only it has."""
    unknown = [row for row, key in enumerate(keys) if key not in trained]
    if unknown:
        labels = sorted({keys[row] for row in unknown})
        raise JobError(
            f"channel {rows.channel!r}: {rows.place(unknown[0])} has the label {shortened(keys[unknown[0]])}, which no "
            f"row of channel 'train' has ({listed([shortened(one) for one in labels])}: {len(unknown):,} of "
            f"{len(keys):,} rows); "
            f"{did_you_mean(labels[0], trained)}"
        )
    lacking = sorted(set(trained) - set(keys))
    if lacking:
        tell(f"warning: channel {rows.channel!r} has no row with the label {listed(lacking, MOST_LABELS_TO_LIST)}")


def _tell_gaps(names: Sequence[str], tell: Tell) -> None:
    """The model's labels are numbered without gaps; the endpoint answers with the numbers of the data."""
    if list(names) != [str(at) for at in range(len(names))]:
        tell(
            f"labels are the numbers {listed(names, MOST_LABELS_TO_LIST)}, not 0 to {len(names) - 1}: the model counts "
            "them in this order, and the endpoint answers with the data's numbers"
        )
