"""The functions of a bundle: decode a task, and compute with its weights."""

import dataclasses
import functools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.lite.bundles.layout import Block, Layout
from tsn_keras.lite.bundles.private_variables import (
    decode_private,
    split_private,
)
from tsn_keras.lite.bundles.streams import ByteReader, CodeReader
from tsn_keras.lite.files.conversion import flat_outputs, input_specs
from tsn_keras.lite.networks.run_with_values import (
    run_with_values,
    task_variables,
)


def stored_order(variable: keras.Variable) -> tuple[int, ...]:
    """Returns the order of axes that LiteRT's kernels take a variable in.

    Then no file has to transpose it in every prediction. A matrix in any
    other order would become a BATCH_MATMUL, from which the converter drops a
    ReLU that follows.
    """
    if variable.name == "kernel" and variable.ndim == 2:
        return (1, 0)
    if variable.name == "kernel" and variable.ndim == 4:
        return (3, 0, 1, 2)
    return tuple(range(variable.ndim))


@dataclasses.dataclass(frozen=True)
class _Weight:
    """A variable that differs from task to task, as it is stored."""

    order: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, variable: keras.Variable) -> "_Weight":
        order = stored_order(variable)
        shape = tuple(variable.shape[axis] for axis in order)
        return cls(order, shape, variable.dtype)

    @property
    def given_shape(self) -> tuple[int, ...]:
        """The shape of the variable itself."""
        return tuple(self.shape[axis] for axis in np.argsort(self.order))

    def restored(self, value: tf.Tensor) -> tf.Tensor:
        """Returns a stored value as the variable has it."""
        value = tf.transpose(value, np.argsort(self.order))
        return tf.cast(value, self.dtype)


class BundleModule(tf.Module):
    """Decodes a task, and computes with weights that are inputs.

    Nothing that is decoded depends on constants alone, so the converter can
    fold nothing back into float32.

    Tasks with heads of other configurations have networks of their own. All
    are made of the backbone's weights, and of those of one of the heads.

    Attributes:
        inputs: list of `tf.TensorSpec`, what every network takes.
        networks: dict, for the name of each network's signature its tasks.
    """

    def __init__(self, model: Any, tasks: list[str], batch_size: int | None):
        super().__init__()
        by_head: dict[int, list[str]] = {}
        for task in tasks:
            by_head.setdefault(model.bank[task].head, []).append(task)
        self.networks = {
            f"compute_{number}": found
            for number, found in enumerate(by_head.values())
        }
        # In functions: as an attribute the model would be saved as well.
        self._reading = model.switch.reading
        self._run = functools.partial(run_with_values, model)
        self._structure = model.switch.inputs
        self.inputs = input_specs(self._structure, batch_size)
        self._heads: list[list[_Weight]] = []
        num_shared = len(model.switch.kernels)
        num_shared += len(model.switch.private_of_backbone)
        for found in self.networks.values():
            with model.switch.reading(found[0]):
                weights = [_Weight.of(v) for v in task_variables(model)]
            self._shared = weights[:num_shared]
            self._heads.append(weights[num_shared:])
        self._num_kernels = len(model.switch.kernels)
        orders = [weight.order for weight in self._shared]
        self._layout = Layout(model.bank, tasks, orders[: self._num_kernels])
        self._reader = ByteReader(self._layout.store.array())

    def signatures(self) -> dict:
        """Returns the concrete functions of `select` and of each network."""
        shared = _specs("weights", self._shared)
        functions = {}
        for number, (name, tasks) in enumerate(self.networks.items()):
            specs = shared + _specs(f"head_{number}", self._heads[number])
            # Layers of others may need autograph; `select` has none.
            compute = tf.function(
                functools.partial(self._compute, self._heads[number]),
                [*self.inputs, *specs],
            )
            with self._reading(tasks[0]):
                functions[name] = compute.get_concrete_function()
        task = tf.TensorSpec([1], tf.int32, "task")
        select = tf.function(self._select, [task], autograph=False)
        return {**functions, "select": select.get_concrete_function()}

    def _select(self, task):
        number = tf.reshape(task, [])
        layout = self._layout
        codes = CodeReader(self._reader, number)
        decoded = [self._kernel(b, number, codes) for b in layout.kernels]
        private = decode_private(layout.private, self._reader, number, codes)
        weights = self._shared[self._num_kernels :]
        found, rest = _stored(private, weights)
        selected = _named("weights", self._shared, decoded + found)
        for number, weights in enumerate(self._heads):
            # Those of other heads are numbers without a meaning.
            found, _ = _stored(rest, weights)
            selected |= _named(f"head_{number}", weights, found)
        return selected

    def _compute(self, head: list[_Weight], *parts):
        inputs = parts[: len(self.inputs)]
        weights = self._shared + head
        values = [
            weight.restored(value)
            for weight, value in zip(weights, parts[len(inputs) :])
        ]
        x = tree.pack_sequence_as(self._structure, inputs)
        return flat_outputs(self._run(x, values))

    def _kernel(self, block: Block, number, codes: CodeReader):
        """Decodes a kernel: positions, then values, then scattered."""
        row = block.table.read(number)
        size = math.prod(block.shape)
        book = self._reader.floats(row["codebook_place"], row["codebook_bytes"])
        grouped = "num_dense" in row
        locate = self._grouped_address if grouped else self._address
        address = locate(block, row, codes)
        if "own_count" in row:
            owner = address // size
            address -= owner * size
            start = owner * row["stride"]
            values = codes.read(row, "codes", block.digits["codes"])
            values = tf.gather(book, values + start) * self._used(row)
        else:
            value = functools.partial(tf.gather, book)
            values = codes.read(row, "codes", block.digits["codes"], value)
        # A slice with a new axis would be copied entry by entry.
        flat = tf.scatter_nd(tf.reshape(address, [-1, 1]), values, [size])
        return self._ungrouped(block, row, flat) if grouped else flat

    def _address(self, block: Block, row: dict, codes, group: str = ""):
        """Returns the positions that are stored as gaps."""
        step, high = row[group + "step"], group + "high"
        unary = self._reader.octets(row[f"{high}_place"], row[f"{high}_bytes"])
        # The last byte may hold ones of later entries, too.
        ones = tf.slice(_places_of(unary), [0], row[group + "low_count"])
        name = group + "low"
        digits = block.digits[name]
        low = codes.read(row, name, digits, lambda low: low + (1 - step))
        return tf.cumsum(low) + ones * step

    def _grouped_address(self, block: Block, row: dict, codes):
        """Returns the positions of entries, one group of rows after another."""
        dense = self._address(block, row, codes, "dense_")
        sparse = self._address(block, row, codes, "sparse_")
        sparse += row["num_dense"]
        address = tf.concat([dense, sparse], axis=0)
        if "num_columns" not in row:
            return address
        num_columns = math.prod(block.shape[1:])
        is_used = self._marks(row["columns_place"], num_columns)
        row_number = address // row["num_columns"]
        column = address - row_number * row["num_columns"]
        column = tf.gather(_places_of(is_used), column)
        return row_number * num_columns + column

    def _ungrouped(self, block: Block, row: dict, flat):
        """Returns a kernel with its rows in their own order."""
        # Whole rows are moved: one costs no more than an entry.
        is_dense = self._marks(row["rows_place"], block.shape[0])
        is_sparse = 1 - is_dense
        in_dense = tf.cumsum(is_dense, exclusive=True)
        in_sparse = tf.cumsum(is_sparse, exclusive=True)
        in_sparse += tf.reduce_sum(is_dense)
        place = is_dense * in_dense + is_sparse * in_sparse
        return tf.gather(tf.reshape(flat, [block.shape[0], -1]), place)

    def _marks(self, place, count: int):
        """Returns a stored bit for each row or column, as int32."""
        bits = self._reader.octets(place, [-(-count // 8)])
        return tf.cast(tf.reshape(bits, [-1])[:count], tf.int32)

    def _used(self, row: dict):
        """Returns 1 for the entries that a task uses, 0 for the others."""
        bits = self._reader.octets(row["shared_place"], row["shared_bytes"])
        bits = tf.cast(tf.reshape(bits, [-1]), tf.float32)
        bits = tf.slice(bits, [0], row["shared_count"])
        return tf.concat([bits, tf.ones(row["own_count"])], axis=0)


def _places_of(marks: tf.Tensor) -> tf.Tensor:
    """Returns the positions of all that is not zero, as int32."""
    found = tf.where(tf.reshape(marks, [-1]))
    return tf.cast(tf.reshape(found, [-1]), tf.int32)


def _specs(stem: str, weights: list[_Weight]) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec(weight.shape, tf.float32, f"{stem}_{index}")
        for index, weight in enumerate(weights)
    ]


def _named(stem: str, weights: list[_Weight], values: list) -> dict:
    """Returns values in the shapes of weights, by the names of inputs."""
    return {
        f"{stem}_{index}": tf.reshape(value, weight.shape)
        for index, (weight, value) in enumerate(zip(weights, values))
    }


def _stored(values: tf.Tensor, weights: list[_Weight]) -> tuple[list, Any]:
    """Returns the first of private entries as weights, and what is behind."""
    found, rest = split_private(values, [w.given_shape for w in weights])
    orders = [weight.order for weight in weights]
    return list(map(tf.transpose, found, orders)), rest
