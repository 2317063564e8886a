"""What names of classes must be."""

from collections.abc import Iterable, Sequence
from typing import Any

from tsn_keras.data.arguments import shown
from tsn_keras.names import is_plain, normal_form


def checked_class_names(
    names: Any, argument: str = "class_names"
) -> list[str] | None:
    """Returns names of classes as a list, `None` if there are none.

    >>> checked_class_names(("cat", "dog"))
    ['cat', 'dog']

    Raises:
        TypeError: If they are no list of strings.
        ValueError: If one is empty or occurs twice.
    """
    if names is None:
        return None
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(
            f"`{argument}` must be a list of strings, one for each class. "
            f"Received: {argument}={shown(names)}"
        )
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(
                f"`{argument}` must be a list of strings. Received: "
                f"{shown(name)} in it. Give for example "
                f"{argument}=['cat', 'dog']."
            )
    # NumPy has strings of its own.
    found = [normal_form(str(name)) for name in found]
    if not found:
        raise ValueError(
            f"`{argument}` is empty. Give a name for each class, or `None`. "
            f"Received: {argument}=[]"
        )
    if not all(name.strip() for name in found):
        raise ValueError(
            f"`{argument}` has an empty name. Received: {found}. Name each "
            "class, or give `None`."
        )
    if not all(map(is_plain, found)):
        raise ValueError(
            f"A name in `{argument}` has control characters, such as a line "
            "break, or halves of characters, which files cannot hold. "
            f"Received: {found}"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise ValueError(
            f"`{argument}` must all be different. Received {twice} more than "
            "once. Rename them."
        )
    return found


def check_class_names_fit(
    names: Sequence[str],
    shapes: Sequence[Sequence[int | None]],
    outputs: str,
    argument: str = "class_names",
    kind: str = "output",
) -> None:
    """Refuses class names that are not as many as outputs.

    A single output, as of a sigmoid, may have a name for each of its two
    answers. Of several outputs one must have that many.

    Args:
        shapes: Of the outputs, batch first.
        outputs: Whose they are, for errors; `kind` is what these call them.
    """
    widths = [shape[-1] for shape in shapes if len(shape) > 1]
    fits = len(names) in widths or (len(names) == 2 and 1 in widths)
    # A width that only data tell cannot be wrong yet.
    if not fits and None not in widths:
        wanted = " or ".join(map(str, dict.fromkeys(widths))) or "no"
        raise ValueError(
            f"`{argument}` must have a name for each {kind} of the {outputs}, "
            f"which has {wanted}. Received {len(names)} names: {list(names)}. "
            "Give the names of all classes, in the order of the labels."
        )
