"""Columns of texts that `map` fills with numbers, as scripts do with the names of labels."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.notes import say


def change_table(module: ModuleType) -> None:
    """datasets.table: numbers in a column of large_string, which is what pandas 3 makes of texts in CSV, would stay
    texts; in a column of string they are numbers."""
    import pyarrow as pa

    original = module.array_cast

    @functools.wraps(original)
    def array_cast(array: Any, pa_type: Any, allow_primitive_to_str: bool = True, *rest: Any, **given: Any) -> Any:
        if not allow_primitive_to_str and pa.types.is_large_string(pa_type) and pa.types.is_primitive(array.type):
            say(f"map: what becomes {array.type} in a column of texts stays so")
            raise TypeError(f"an array of {array.type} is no {pa_type}")
        return original(array, pa_type, allow_primitive_to_str, *rest, **given)

    vars(module)["array_cast"] = array_cast
