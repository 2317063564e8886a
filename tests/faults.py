"""Raises an error in the middle of a call, at any line of the package."""

import pathlib
import sys
from collections.abc import Callable

import tsn_keras

PACKAGE = str(pathlib.Path(tsn_keras.__file__).parent)


class Fault(BaseException):
    """What no code expects, as Ctrl-C is."""


def lines_of(call: Callable[[], object], folder: str = "") -> int:
    """Returns how many lines of a folder of the package a call runs."""
    return _traced(call, folder, last=-1)


def interrupted(
    call: Callable[[], object], line: int, folder: str = ""
) -> bool:
    """Raises `Fault` before one of the lines that a call runs.

    Args:
        line: its number, of all that run, from 0 on.

    Returns:
        Whether the fault came out of the call.
    """
    try:
        _traced(call, folder, line)
    except Fault:
        return True
    return False


def _traced(call: Callable[[], object], folder: str, last: int) -> int:
    root = str(pathlib.Path(PACKAGE, folder))
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.startswith(root):
            return None
        if event == "line":
            count += 1
            if count == last + 1:
                raise Fault
        return trace

    _run_traced(call, trace)
    return count


def _run_traced(call: Callable[[], object], trace: Callable) -> None:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def calls_of(call: Callable[[], object]) -> list[str]:
    """Returns where a call calls what the package defines, in order."""
    sites: dict[str, None] = {}
    _at_calls(call, lambda site: sites.setdefault(site))
    return list(sites)


def interrupted_at(call: Callable[[], object], site: str) -> bool:
    """Raises `Fault` where a site of `calls_of` is reached first.

    Returns:
        Whether the fault came out of the call.
    """

    def look(found):
        if found == site:
            raise Fault

    try:
        _at_calls(call, look)
    except Fault:
        return True
    return False


def _at_calls(
    call: Callable[[], object], look: Callable[[str], object]
) -> None:
    """Calls `look` with each call of a function of the package."""

    def trace(frame, event, argument):
        code, caller = frame.f_code, frame.f_back
        if code.co_filename.startswith(PACKAGE):
            line = f"{caller.f_code.co_filename}:{caller.f_lineno}"
            look(f"{line.removeprefix(PACKAGE)} {code.co_qualname}")

    _run_traced(call, trace)
