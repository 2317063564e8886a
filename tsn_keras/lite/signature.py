"""Names and shapes of what goes into a file and comes out of it."""

from typing import Any

import tensorflow as tf
from keras import tree


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
    """
    names = part_names(inputs, "inputs")
    return [
        tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype, name)
        for name, part in zip(names, tree.flatten(inputs))
    ]


def flat_outputs(outputs: Any) -> dict[str, Any]:
    """Returns the outputs of a model by the names that files give them."""
    names = part_names(outputs, "outputs")
    return dict(zip(names, tree.flatten(outputs)))
