"""Errors for arguments of a wrong type, in one form for all of them."""

import difflib
import numbers
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_SHOWN = 120
VERBOSE = ("auto", 0, 1, 2, None)


def shown(value: Any) -> str:
    """Returns what errors say was received: the value, and its type.

    >>> shown("3")
    "'3' (of type str)"
    """
    text = " ".join(repr(value).split())
    if len(text) > MOST_SHOWN:
        text = f"{text[:MOST_SHOWN]}..."
    return f"{text} (of type {type(value).__name__})"


def unknown_task(name: Any, known: Sequence[str], holder: str) -> str:
    """Returns what errors say of a task that nobody has heard of.

    >>> unknown_task("cat", ["cats", "dogs"], "The bundle")
    "Unknown task 'cat'. The bundle holds: ['cats', 'dogs']. Did you mean \
'cats'?"
    """
    text = f"Unknown task '{name}'. {holder} holds: {list(known)}."
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"{text} Did you mean '{near[0]}'?" if near else text


def _check(
    kinds: tuple, wanted: str, or_none: bool, given: dict[str, Any]
) -> None:
    for name, value in given.items():
        # Python counts `True` as an integer; hardly anyone means it.
        is_flag = isinstance(value, (bool, np.bool_))
        fits = isinstance(value, kinds) and (not is_flag or bool in kinds)
        if not fits and not (or_none and value is None):
            wanted = f"{wanted} or None" if or_none else wanted
            raise TypeError(
                f"`{name}` must be {wanted}. Received: {name}={shown(value)}"
            )


def check_numbers(or_none: bool = False, **given: Any) -> None:
    """Refuses all but numbers; arguments are given by their names."""
    _check((numbers.Real,), "a number", or_none, given)


def check_integers(
    lowest: int | None = None, or_none: bool = False, **given: Any
) -> None:
    """Refuses all but integers, and those below the lowest one."""
    _check((numbers.Integral,), "an integer", or_none, given)
    for name, value in given.items():
        if lowest is not None and value is not None and value < lowest:
            raise ValueError(
                f"`{name}` must be at least {lowest}. Received: {name}={value}"
            )


def check_flags(or_none: bool = False, **given: Any) -> None:
    """Refuses all but truth values: the text "no" would count as true."""
    given = {k: v for k, v in given.items() if not _is_zero_or_one(v)}
    _check((bool, np.bool_), "True or False", or_none, given)


def _is_zero_or_one(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and value in (0, 1)


def check_strings(or_none: bool = False, **given: Any) -> None:
    """Refuses all but texts."""
    _check((str,), "a string", or_none, given)


def check_paths(or_none: bool = False, **given: Any) -> None:
    """Refuses all but names of files or folders."""
    _check((str, os.PathLike), "a path, as str or pathlib.Path", or_none, given)
    for name, value in given.items():
        if value is not None and not os.fspath(value):
            raise ValueError(
                f"`{name}` is empty. Give the name of a file. Received: "
                f"{name}={value!r}"
            )


def check_tolerance(
    tolerance: float | None, or_none: bool = False
) -> float | None:
    """Returns a tolerance, and refuses what is none."""
    check_numbers(tolerance=tolerance, or_none=or_none)
    if tolerance is not None and not 0.0 <= tolerance < 1.0:
        raise ValueError(
            "`tolerance` must be in [0, 1)"
            f"{' or None' if or_none else ''}, the part of the quality that "
            f"may be lost. Received: tolerance={tolerance}"
        )
    return tolerance


def check_verbose(verbose: Any) -> None:
    """Refuses what says not how much is to be printed."""
    if not isinstance(verbose, (str, int, type(None))) or (
        verbose not in VERBOSE
    ):
        raise ValueError(
            "`verbose` must be 'auto', 0, 1 or 2. Received: "
            f"verbose={shown(verbose)}"
        )
