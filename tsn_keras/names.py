"""How names of tasks and classes are kept: in one form of Unicode."""

import unicodedata

# Control characters, and halves of characters.
_REFUSED = ("Cc", "Cs")


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
