"""The functions of a bundle: select a task, and predict with it."""

import functools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.lite.bundle_layout import Block, Layout
from tsn_keras.lite.byte_store import ByteReader
from tsn_keras.lite.private_graph import decode_private
from tsn_keras.lite.replay import replay, task_variables
from tsn_keras.lite.signature import flat_outputs, input_specs


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
        self._reader = ByteReader(layout.store.array())
        self._shapes = [
            tuple(variable.shape[axis] for axis in order)
            for variable, order in zip(variables, self._orders)
        ]
        kernels = self._shapes[: self._count]
        self._kernels = [tf.Variable(tf.zeros(shape)) for shape in kernels]
        # All private ones in one, as each takes some operators.
        self._sizes = [math.prod(s) for s in self._shapes[self._count :]]
        self._private = tf.Variable(tf.zeros(sum(self._sizes)))
        self._dtypes = [variable.dtype for variable in variables]
        # As an attribute the model would be saved with the module.
        self._replay = functools.partial(replay, model)
        self._structure = model._inputs
        self.inputs = input_specs(model._inputs, batch_size)

    def signatures(self) -> dict:
        """Returns the concrete functions of all signatures."""
        weights = [
            tf.TensorSpec(shape, tf.float32, f"weights_{index}")
            for index, shape in enumerate(self._shapes)
        ]
        # In the order of the alphabet, as the converter puts them. When
        # `compute` is gone, `Interpreter.invoke` runs `predict`.
        functions = {
            "compute": (self._compute, [*self.inputs, *weights]),
            "predict": (self._predict, self.inputs),
            "select": (self._select, [tf.TensorSpec([1], tf.int32, "task")]),
        }
        return {
            name: tf.function(
                function,
                input_signature=specs,
                # Layers of others may need it; `select` has none.
                autograph=name != "select",
            ).get_concrete_function()
            for name, (function, specs) in functions.items()
        }

    def _select(self, task):
        number = tf.reshape(task, [])
        layout = self._layout
        decoded = [self._kernel(block, number) for block in layout.kernels]
        private = decode_private(layout.private, self._reader, number)
        for value, order in zip(private, self._orders[self._count :]):
            decoded.append(tf.transpose(value, order))
        decoded = [
            tf.reshape(value, shape)
            for value, shape in zip(decoded, self._shapes)
        ]
        for variable, value in zip(self._kernels, decoded):
            variable.assign(value)
        flat = [tf.reshape(value, [-1]) for value in decoded[self._count :]]
        self._private.assign(tf.concat(flat, axis=0))
        return {f"weights_{i}": value for i, value in enumerate(decoded)}

    def _predict(self, *parts):
        kernels = [variable.read_value() for variable in self._kernels]
        flat = tf.split(self._private.read_value(), self._sizes)
        shapes = self._shapes[self._count :]
        private = map(tf.reshape, flat, shapes)
        return self._compute(*parts, *kernels, *private)

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

    def _kernel(self, block: Block, number):
        """Decodes a kernel: positions, then values, then scattered."""
        reader = self._reader
        row = tf.gather(tf.constant(block.table()), number)
        parts = tf.split(row, list(block.fields.values()))
        row = dict(zip(block.fields, parts))
        size = math.prod(block.shape)
        count = row["count"]
        low = self._codes(block, row, "low")
        unary = reader.octets(row["high"], row["high_bytes"])
        unary = tf.reshape(tf.cast(unary, tf.bool), [-1])
        # The last byte may hold ones of later entries, too.
        ones = tf.slice(tf.reshape(tf.where(unary), [-1]), [0], count)
        ones = tf.cast(ones, tf.int32)
        index = tf.range(tf.reshape(count, []))
        address = tf.cumsum(low) + index + (ones - index) * row["low_step"]
        book = reader.floats(row["codebook"], row["codebook_bytes"])
        if block.shares:
            owner = address // size
            address -= owner * size
            codes = self._codes(block, row, "codes")
            values = tf.gather(book, codes + owner * row["stride"])
            values *= self._used(row)
        else:
            values = self._codes(block, row, "codes", book)
        # A slice with a new axis would be copied entry by entry.
        return tf.scatter_nd(tf.reshape(address, [-1, 1]), values, [size])

    def _codes(self, block: Block, row: dict, name: str, book=None):
        """Returns the numbers of a stream, or their values in a codebook."""
        place, size = row[name], row[f"{name}_bytes"]
        count, shape = row["count"], row[f"{name}_shape"]
        if block.tabled[name]:
            fields = (row[f"{name}_table"], row[f"{name}_size"], shape)
            table = self._reader.table(*fields)
            if book is not None:
                table = tf.gather(book, table)
            return self._reader.looked_up(place, size, count, table)
        extent = row[f"{name}_extent"]
        codes = self._reader.codes(place, size, count, shape, extent)
        codes = tf.cast(codes, tf.int32)
        return codes if book is None else tf.gather(book, codes)

    def _used(self, row: dict):
        """Returns 1 for the entries that a task uses, 0 for the others."""
        bits = self._reader.octets(row["shared"], row["shared_bytes"])
        bits = tf.cast(tf.reshape(bits, [-1]), tf.float32)
        bits = tf.slice(bits, [0], row["shared_count"])
        return tf.concat([bits, tf.ones(row["own_count"])], axis=0)
