"""Names: the form in which they are kept, and patterns that they match."""

import unicodedata

import regex

# Control characters, and halves of characters.
_REFUSED = ("Cc", "Cs")
# A pattern may come from somebody's file, and one of twenty characters can take
# a lifetime.
LONGEST_PATTERN = 1000
MOST_SECONDS = 1.0


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
        if isinstance(pattern, str) and len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"more than {LONGEST_PATTERN} characters")
        regex.compile(pattern)
    except (regex.error, TypeError, ValueError, RecursionError) as error:
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
    except TimeoutError as error:
        raise ValueError(
            f"`{argument}`: it takes more than {MOST_SECONDS:.0f} second to "
            f"look for {repr(pattern)[:80]} in '{name[:80]}'. Write it without "
            "repetitions within repetitions, such as (a+)+."
        ) from error
