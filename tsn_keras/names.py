"""Names: the form in which they are kept, and patterns that they match."""

import math
import re
import unicodedata

import regex

# Control characters, and halves of characters.
_REFUSED = ("Cc", "Cs")
# A pattern may come from somebody's file, and one of twenty characters can take
# a lifetime.
LONGEST_PATTERN = 1000
MOST_SECONDS = 1.0
# What counted repetitions, such as {3}, may come to if all are within others:
# they are written out when the pattern is compiled.
MOST_COPIES = 10_000
_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")


def normal_form(name: str) -> str:
    """Returns a name in Unicode's normal form C.

    What looks alike is one name then, however file systems and keyboards spell
    it.

    >>> len("e\\u0301"), len(normal_form("e\\u0301"))
    (2, 1)
    """
    return unicodedata.normalize("NFC", name)


def is_plain(name: str) -> bool:
    """Tells whether a name has no control characters and no half characters.

    >>> is_plain("Straße 7"), is_plain("line\\n")
    (True, False)
    """
    return not any(unicodedata.category(c) in _REFUSED for c in name)


def check_pattern(pattern: str, argument: str) -> None:
    """Refuses what is no regular expression.

    Raises:
        ValueError: If it is none, or too long.
    """
    try:
        # What only the other library knows, such as recursion, is refused.
        re.compile(pattern)
        found = [n for pair in _COUNTS.findall(pattern) for n in pair if n]
        counts = map(int, found)
        if len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"more than {LONGEST_PATTERN} characters")
        if math.prod(max(1, count) for count in counts) > MOST_COPIES:
            raise ValueError(f"repetitions of more than {MOST_COPIES} in all")
        regex.compile(pattern)
    except (
        *(re.error, regex.error, TypeError, ValueError, OverflowError),
        *(RecursionError, MemoryError),
    ) as error:
        raise ValueError(
            f"`{argument}` is no regular expression, or has one that is none: "
            f"{error}. Received: {repr(pattern)[:80]}. Escape special "
            "characters with a backslash."
        ) from error


def matches(pattern: str, name: str, argument: str) -> bool:
    """Tells whether a regular expression is found in a name, within a second.

    >>> matches("dense_[01]/", "mlp/dense_1/kernel", "kernels")
    True

    Raises:
        ValueError: If it takes longer.
    """
    try:
        return regex.search(pattern, name, timeout=MOST_SECONDS) is not None
    except (TimeoutError, MemoryError) as error:
        raise ValueError(
            f"`{argument}`: it takes more than {MOST_SECONDS:.0f} second to "
            f"look for {repr(pattern)[:80]} in '{name[:80]}'. Write it without "
            "repetitions within repetitions, such as (a+)+."
        ) from error
