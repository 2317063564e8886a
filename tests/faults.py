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

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
