"""What the metadata of a saved bank can honestly say."""

import math
from collections.abc import Callable
from typing import Any

from tsn_keras.bank import packing
from tsn_keras.bank.records import (
    CONSTANT_WIDTH,
    FLOAT_WIDTH,
    HALF_WIDTH,
    RAW_WIDTH,
    PrivateCode,
)
from tsn_keras.files import DamagedFileError
from tsn_keras.names import is_plain, normal_form

# Bounds that no network reaches which fits into a machine of today.
MOST_ENTRIES = 2**40
MOST_AXES = 32
# Characters of a value that errors show.
MOST_SHOWN = 80
# A variable that is stored in four bytes may take so many in memory.
MOST_CONSTANTS = 2**28
MOST_PLANES = MOST_HEADS = 2**31
DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
    + ("uint64", "float16", "bfloat16", "float32", "float64")
)
# Lists in facts may be nested so deep.
FACT_DEPTH = 2
CODE_WIDTHS = frozenset((*range(1, packing.MAX_WIDTH + 1), FLOAT_WIDTH))
PRIVATE_WIDTHS = CODE_WIDTHS | {CONSTANT_WIDTH, HALF_WIDTH}


def check_metadata(metadata: Any, num_bytes: int) -> None:
    """Refuses metadata that no bank of so many bytes can have.

    Raises:
        DamagedFileError: If they say what cannot be.
    """
    try:
        _Metadata(metadata, num_bytes).check()
    except DamagedFileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(
            f"The saved weight bank is damaged: its metadata are no such "
            f"({type(error).__name__}: {error}). Load another copy of the file."
        ) from error


class _Metadata:
    """Metadata under inspection.

    What is of another type than expected may raise any of the errors that
    Python has for that.
    """

    def __init__(self, metadata: Any, num_bytes: int):
        self._metadata = metadata
        self._num_bytes = num_bytes

    def check(self) -> None:
        metadata = self._metadata
        _require(type(metadata) is dict, "metadata", metadata)
        for shape in self._list(metadata["shapes"]):
            _require(_is_shape(shape), "shape of a kernel", shape)
        for width, shape, dtype, _ in self._list(metadata["base"]):
            self._check_code(width, shape, dtype)
        names, heads, references = metadata["tasks"]
        self._check_tasks(names, heads, references)
        self._check_removed(names, heads, references)
        self._check_components(len(names))
        self._check_private(len(names))
        self._check_facts(len(names))

    def _list(self, value: Any) -> list:
        _require(type(value) is list, "list", value)
        return value

    def _column(
        self, value: Any, count: int, what: str, is_valid: Callable
    ) -> list:
        """One value for each task."""
        _require(type(value) is list and len(value) == count, what, value)
        for one in value:
            _require(is_valid(one), what, one)
        return value

    def _check_tasks(self, names: Any, heads: Any, references: Any) -> None:
        count = len(self._list(names))
        self._column(
            names, count, "name of a task", lambda n: n is None or _is_name(n)
        )
        # What is left of a removed task has none.
        known = [name for name in names if name is not None]
        _require(len(set(known)) == len(known), "names of tasks", names)
        self._column(heads, count, "head", lambda h: _is_count(h, MOST_HEADS))
        self._list(references)
        _require(len(references) == count, "references", references)
        for index, one in enumerate(references):
            is_earlier = _is_count(one, index - 1)
            _require(one is None or is_earlier, "reference", one)

    def _check_removed(self, names: list, heads: list, references: list):
        """What is left of a removed task is slots that a later one shares."""
        kinds, numbers, _ = self._metadata["private"]
        lists, facts, _ = self._metadata["facts"]
        for index, name in enumerate(names):
            if name is not None:
                continue
            _require(any(names[index:]), "removed task", names)
            _require(heads[index] == 0, "head", heads[index])
            _require(references[index] is None, "reference", references[index])
            _require(len(kinds[numbers[index]]) == 1, "removed task", kinds)
            _require(not lists[facts[index]], "removed task", lists)

    def _check_components(self, count: int) -> None:
        shapes = self._metadata["shapes"]
        planes, components = (
            self._list(self._metadata[key]) for key in ("planes", "components")
        )
        expected = len(shapes) if count else 0
        _require(len(planes) == expected, "planes", planes)
        _require(len(components) == expected, "components", components)
        for column in planes:
            self._column(
                column, count, "plane", lambda p: _is_count(p, MOST_PLANES)
            )
        for shape, columns in zip(shapes, components):
            widths, counts, *lengths, books = columns
            _require(len(lengths) == 2, "components", len(columns))
            self._column(widths, count, "width", lambda w: _is(w, CODE_WIDTHS))
            size = math.prod(shape)
            self._column(
                counts, count, "own slots", lambda n: _is_count(n, size)
            )
            for column in (*lengths, books):
                self._column(column, count, "length", self._is_length)
            for width, length in zip(widths, books):
                most = 0 if width == FLOAT_WIDTH else 4 * 2**width
                fits = length % 4 == 0 and length <= most
                _require(fits, "length of a codebook", length)

    def _is_length(self, value: Any) -> bool:
        return _is_count(value, self._num_bytes)

    def _check_private(self, count: int) -> None:
        kinds, numbers, widths = self._metadata["private"]
        most = len(self._list(kinds)) - 1
        self._column(numbers, count, "kind", lambda n: _is_count(n, most))
        for column in self._list(widths):
            _require(len(self._list(column)) == count, "widths", column)
        for index, number in enumerate(numbers):
            kind = self._list(kinds[number])
            _require(0 < len(kind) <= len(widths), "private variables", kind)
            for (shape, dtype), column in zip(kind, widths):
                self._check_code(column[index], shape, dtype)
        if "inference" in self._metadata:
            # Their statistics are before them.
            most = [len(kinds[number]) - 1 for number in numbers]
            column = self._list(self._metadata["inference"])
            _require(len(column) == count, "inference", column)
            for found, limit in zip(column, most):
                _require(_is_count(found, limit), "inference", found)

    def _check_code(self, width: Any, shape: Any, dtype: Any) -> None:
        _require(_is_shape(shape), "shape", shape)
        _require(type(dtype) is str and dtype in DTYPES, "dtype", dtype)
        is_raw = _is(width, {RAW_WIDTH})
        fits = _is(width, PRIVATE_WIDTHS) if dtype == "float32" else is_raw
        _require(fits, "width of a private variable", width)
        if width == CONSTANT_WIDTH:
            _require(math.prod(shape) <= MOST_CONSTANTS, "shape", shape)
        length = PrivateCode.num_bytes(width, shape, dtype)
        _require(length <= self._num_bytes, "shape", shape)

    def _check_facts(self, count: int) -> None:
        lists, numbers, values = self._metadata["facts"]
        most = len(self._list(lists)) - 1
        self._column(numbers, count, "kind", lambda n: _is_count(n, most))
        for column in self._list(values):
            _require(len(self._list(column)) == count, "facts", column)
        for index, number in enumerate(numbers):
            known = self._list(lists[number])
            _require(len(known) <= len(values), "facts", known)
            _require(all(type(name) is str for name in known), "facts", known)
            _require(len(set(known)) == len(known), "facts", known)
            for name, column in zip(known, values):
                fits = _is_fact(column[index], FACT_DEPTH)
                _require(fits, f"fact '{name}'", column[index])


def _require(is_valid: bool, what: str, value: Any) -> None:
    if not is_valid:
        raise DamagedFileError(
            f"The saved weight bank is damaged, or was not written by "
            f"tsn_keras: it says what cannot be of a {what}: "
            f"{repr(value)[:MOST_SHOWN]}. Load another copy of the file."
        )


def _is_name(value: Any) -> bool:
    is_text = isinstance(value, str) and bool(value)
    return is_text and is_plain(value) and normal_form(value) == value


def _is(value: Any, among: frozenset | set) -> bool:
    return type(value) is int and value in among


def _is_fact(value: Any, depth: int) -> bool:
    if type(value) is list and depth:
        return all(_is_fact(part, depth - 1) for part in value)
    return value is None or type(value) in (bool, int, float, str)


def _is_count(value: Any, most: int) -> bool:
    """Tells whether a value is a whole number from 0 to `most`."""
    return type(value) is int and 0 <= value <= most


def _is_shape(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) <= MOST_AXES
        and all(_is_count(axis, MOST_ENTRIES) for axis in value)
        and math.prod(value) <= MOST_ENTRIES
    )
