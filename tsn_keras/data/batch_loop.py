"""A compiled loop over many batches."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

# What a stack of batches may take.
MOST_BYTES = 1 << 25


def stacked(batches: Iterable[Any]) -> Iterator[Any]:
    """Stacks neighbouring batches of equal shapes along a new first axis.

    >>> batches = [np.ones((4, 2)), np.ones((4, 2)), np.ones((3, 2))]
    >>> [tuple(stack.shape) for stack in stacked(batches)]
    [(2, 4, 2), (1, 3, 2)]

    A stack takes 32 MiB at most, unless one batch takes more.
    """
    waiting, shapes = [], None
    for batch in batches:
        parts = tree.flatten(batch)
        own = [(tuple(part.shape), part.dtype) for part in parts]
        size = sum(map(_num_bytes, parts))
        is_full = (len(waiting) + 1) * size > MOST_BYTES
        if waiting and (own != shapes or is_full):
            yield tree.map_structure(_stack, *waiting)
            waiting = []
        shapes = own
        waiting.append(batch)
    if waiting:
        yield tree.map_structure(_stack, *waiting)


def unstacked(stacks: Iterable[Any]) -> Iterator[Any]:
    """Gives the batches of stacks back, one after the other."""
    for stack in stacks:
        for index in range(tree.flatten(stack)[0].shape[0]):
            yield _part(stack, index)


class BatchLoop:
    """Runs a step for each batch of a stack, in one call.

    A function is compiled for each shape of batches, whatever their number.
    So no batch is computed by a function compiled for another shape, which
    may round in another way.

    Args:
        step: Function of a batch and of the constants that the loop is given.
            What it returns is dropped.
        result: Function that is called after the last batch. The loop returns
            what it returns.
        run_eagerly: Whether nothing is to be compiled.
    """

    def __init__(
        self,
        step: Callable,
        result: Callable | None = None,
        run_eagerly: bool = False,
    ):
        self._step = step
        self._result = result
        self._run_eagerly = run_eagerly
        self._functions: dict[str, Callable] = {}

    def __call__(self, stack: Any, *constants: Any) -> Any:
        """Runs the loop over a stack, as `stacked` makes it.

        Constants are nests of tensors that serve all steps. Other lengths of
        their first axes need no new function either.
        """
        if self._run_eagerly:
            for batch in unstacked([stack]):
                self._step(batch, *constants)
            return self._result and self._result()
        arguments = (stack, *constants)
        specs = tree.map_structure(_any_length, arguments)
        key = repr(specs)
        if key not in self._functions:
            self._functions[key] = tf.function(
                self._loop, input_signature=specs, autograph=False
            )
        return self._functions[key](*arguments)

    def _loop(self, stack, *constants):
        count = tf.shape(tree.flatten(stack)[0])[0]

        def run(index):
            self._step(_part(stack, index), *constants)
            return index + 1

        tf.while_loop(lambda index: index < count, run, [tf.constant(0)])
        return self._result and self._result()


def _num_bytes(part: Any) -> int:
    if isinstance(part, tf.RaggedTensor):
        part = part.flat_values
    return math.prod(part.shape) * tf.as_dtype(part.dtype).size


def _any_length(part: Any) -> tf.TypeSpec:
    if isinstance(part, tf.RaggedTensor):
        rank, depth = part.shape.rank, part.ragged_rank
        inner = part.shape[depth + 1 :]
        shape = [None] * (rank - len(inner)) + list(inner)
        return tf.RaggedTensorSpec(shape, part.dtype, depth)
    shape = (None, *part.shape[1:]) if part.shape.rank else ()
    return tf.TensorSpec(shape, part.dtype)


def _stack(*parts: Any) -> tf.Tensor:
    if isinstance(parts[0], np.ndarray):
        # TensorFlow would convert one array after the other first.
        return tf.convert_to_tensor(np.stack(parts))
    return tf.stack(parts)


def _part(stack: Any, index: Any) -> Any:
    return tree.map_structure(lambda part: part[index], stack)
