"""Names and shapes of what goes into a file and comes out of it."""

import keyword
import re
from typing import Any

import tensorflow as tf
from keras import tree

from tsn_keras.lite.errors import ExportError

# What TensorFlow takes as the name of an argument and changes nothing in.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


def part_names(nest: Any, stem: str) -> list[str]:
    """Returns the names of a nest's parts, in flat order.

    >>> part_names(0, "inputs")
    ['inputs']
    >>> part_names([0, 0], "inputs")
    ['inputs_0', 'inputs_1']
    >>> part_names({"left": 0, "right": 0}, "inputs")
    ['left', 'right']

    Args:
        nest: nest of anything.
        stem: str, the name of a single part.
    """
    if not tree.is_nested(nest):
        return [stem]
    if isinstance(nest, dict) and not any(map(tree.is_nested, nest.values())):
        return [str(key) for key in sorted(nest)]
    return [f"{stem}_{index}" for index in range(len(tree.flatten(nest)))]


def input_specs(inputs: Any, batch_size: int | None) -> list[tf.TensorSpec]:
    """Returns the flat, named inputs of a file.

    Args:
        inputs: nest of `KerasTensor`, batch first.
        batch_size: int, or `None` for any.

    Raises:
        ExportError: If an input has a name that files cannot have.
    """
    names = part_names(inputs, "inputs")
    for name in names:
        if not NAME.fullmatch(name) or keyword.iskeyword(name):
            raise ExportError(
                "Inputs of a file need names of letters, digits and '_', that "
                "begin with a letter and are no Python keyword. Rename this "
                f"key of the backbone's inputs: '{name}'"
            )
    return [
        tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype, name)
        for name, part in zip(names, tree.flatten(inputs))
    ]


def flat_outputs(outputs: Any) -> dict[str, Any]:
    """Returns the outputs of a model by the names that files give them."""
    names = part_names(outputs, "outputs")
    return dict(zip(names, tree.flatten(outputs)))
