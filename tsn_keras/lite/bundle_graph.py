"""The functions of a bundle: select a task, and predict with it."""

import functools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.lite.bundle_layout import (
    KERNEL_FIELDS,
    PRIVATE_FIELDS,
    Block,
    Layout,
)
from tsn_keras.lite.replay import replay, task_variables
from tsn_keras.lite.signature import flat_outputs, input_specs

BYTE_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
POWERS = np.float32(2.0) ** np.arange(16, dtype=np.float32)[:, None]


def stored_order(variable: keras.Variable) -> tuple[int, ...]:
    """Returns the order of axes that LiteRT's kernels take a variable in.

    Then no file has to transpose it in every prediction. A matrix in any
    other order would become a BATCH_MATMUL, from which the converter drops a
    ReLU that follows.

    Args:
        variable: `keras.Variable`.
    """
    if variable.name == "kernel" and variable.ndim == 2:
        return (1, 0)
    if variable.name == "kernel" and variable.ndim == 4:
        return (3, 0, 1, 2)
    return tuple(range(variable.ndim))


class BundleModule(tf.Module):
    """Decodes a task into variables, and predicts from them.

    Nothing that is decoded depends on constants alone, so the converter can
    fold nothing back into float32.

    Args:
        model: `tsn_keras.ContinualModel`, a head of the tasks selected.
        tasks: list of str, tasks that share that head.
        batch_size: int or `None`, of predictions.
    """

    def __init__(self, model: Any, tasks: list[str], batch_size: int | None):
        super().__init__()
        variables = task_variables(model)
        self._orders = [stored_order(variable) for variable in variables]
        self._count = len(model.installation.kernels)
        orders = self._orders[: self._count]
        layout = Layout(model.bank, tasks, orders)
        self._layout = layout
        self._data = tf.constant(layout.data())
        self._state = [
            tf.Variable(
                tf.zeros([variable.shape[axis] for axis in order]),
                name=f"weights_{index}",
            )
            for index, (variable, order) in enumerate(
                zip(variables, self._orders)
            )
        ]
        self._dtypes = [variable.dtype for variable in variables]
        # As an attribute the model would be saved with the module.
        self._replay = functools.partial(replay, model)
        self._structure = model._inputs
        self.inputs = input_specs(model._inputs, batch_size)

    def signatures(self) -> dict:
        """Returns the concrete functions of all signatures."""
        weights = [
            tf.TensorSpec(variable.shape, tf.float32, variable.name[:-2])
            for variable in self._state
        ]
        arguments = {
            # In the order of the alphabet, as the converter puts them: the
            # first one is what `Interpreter.invoke` runs.
            "compute": (self._compute, [*self.inputs, *weights]),
            "predict": (self._predict, self.inputs),
            "select": (self._select, [tf.TensorSpec([1], tf.int32, "task")]),
        }
        return {
            name: tf.function(f, input_signature=specs).get_concrete_function()
            for name, (f, specs) in arguments.items()
        }

    def _select(self, task):
        kernels, private = self._layout.kernels, self._layout.private
        number = tf.reshape(task, [])
        decoded = [self._kernel(block, number) for block in kernels]
        for block, order in zip(private, self._orders[self._count :]):
            decoded.append(tf.transpose(self._private(block, number), order))
        outputs = {}
        for variable, value in zip(self._state, decoded):
            value = tf.reshape(value, variable.shape)
            variable.assign(value)
            outputs[variable.name[:-2]] = value
        return outputs

    def _predict(self, *parts):
        read = [variable.read_value() for variable in self._state]
        return self._compute(*parts, *read)

    def _compute(self, *parts):
        count = len(self.inputs)
        values = [
            tf.cast(tf.transpose(weights, np.argsort(order)), dtype)
            for weights, order, dtype in zip(
                parts[count:], self._orders, self._dtypes
            )
        ]
        x = tree.pack_sequence_as(self._structure, parts[:count])
        return flat_outputs(self._replay(x, values))

    def _row(self, block: Block, fields: tuple[str, ...], number) -> dict:
        """Looks up where a task's parts of a variable are."""
        table = tf.constant(self._layout.table(block, fields))
        row = tf.gather(table, number)
        return dict(zip(fields, tf.unstack(row)))

    def _bytes(self, start, size):
        return tf.slice(self._data, tf.reshape(start, [1]), _vector(size))

    def _bits(self, start, count):
        """Returns `count` bits, the lowest of each byte first, as uint8."""
        found = self._bytes(start, (count + 7) // 8)
        bits = tf.gather(tf.constant(BYTE_BITS), tf.cast(found, tf.int32))
        return tf.slice(tf.reshape(bits, [-1]), [0], _vector(count))

    def _codes(self, start, count, width):
        """Returns `count` numbers of `width` bits each, as float32."""
        bits = self._bits(start, count * width)
        bits = tf.reshape(bits, tf.stack([count, width]))
        powers = tf.slice(tf.constant(POWERS), [0, 0], tf.stack([width, 1]))
        numbers = tf.matmul(tf.cast(bits, tf.float32), powers)
        return tf.reshape(numbers, [-1])

    def _floats(self, start, count, dtype=tf.float32):
        found = self._bytes(start, count * dtype.size)
        parts = tf.bitcast(tf.reshape(found, [-1, dtype.size]), dtype)
        return tf.cast(parts, tf.float32)

    def _kernel(self, block: Block, number):
        """Decodes a kernel: positions, then values, then scattered."""
        row = self._row(block, KERNEL_FIELDS, number)
        size = math.prod(block.shape)
        count = row["count"]
        low = self._codes(row["low"], count, row["low_width"])
        unary = self._bits(row["high"], row["high_bits"])
        ones = tf.reshape(tf.where(tf.cast(unary, tf.bool)), [-1])
        ones = tf.cast(ones, tf.int32)
        index = tf.range(count)
        step = tf.cast(tf.gather(POWERS[:, 0], row["low_width"]), tf.int32)
        address = tf.cumsum(tf.cast(low, tf.int32))
        address += index + (ones - index) * step
        codes = self._codes(row["codes"], count, row["code_width"])
        codes = tf.cast(codes, tf.int32)
        book = self._floats(row["codebook"], row["codebook_size"])
        if "shared" in block.uses:
            owner = address // size
            address -= owner * size
            values = tf.gather(book, codes + owner * row["stride"])
            values *= self._used(row, count)
        else:
            values = tf.gather(book, codes)
        return tf.scatter_nd(address[:, None], values, [size])

    def _used(self, row: dict, count):
        """Returns 1 for the entries that a task uses, 0 for the others."""
        earlier = row["shared_count"]
        bits = self._bits(row["shared"], earlier)
        own = tf.ones(tf.reshape(count - earlier, [1]))
        return tf.concat([tf.cast(bits, tf.float32), own], axis=0)

    def _private(self, block: Block, number):
        """Decodes a private variable."""
        row = self._row(block, PRIVATE_FIELDS, number)
        size = math.prod(block.shape)
        scale = self._floats(row["scale"], 2)
        value = tf.repeat(scale[:1], size)
        if "codes" in block.uses:
            codes = self._codes(row["codes"], size, row["width"])
            value = scale[0] + scale[1] * codes
        if "half" in block.uses:
            value += self._floats(row["half"], size, tf.float16)
        if "full" in block.uses:
            value += self._floats(row["full"], size)
        return tf.reshape(value, block.shape)


def _vector(size):
    return tf.reshape(tf.cast(size, tf.int32), [1])
