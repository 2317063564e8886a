"""Whether earlier tasks still give the same bits."""

import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tsn_keras.data import check_integers, check_strings, shown
from tsn_keras.evaluation.accuracy_matrix import check_model


def hash_logits(logits: Any) -> str:
    """Computes a hash that is equal for results that are equal to the bit.

    The SHA-256 is taken over the path, dtype, shape and bytes of every array,
    so 0.0 and -0.0 differ, and so do float32 and float64. `logits` may be a
    nest of arrays. The result has 64 hexadecimal digits.

    Example:

    >>> a = np.array([1.0, 2.0], "float32")
    >>> hash_logits(a) == hash_logits(a.copy())
    True
    >>> hash_logits(a) == hash_logits(np.nextafter(a, 3.0))
    False
    """
    digest = hashlib.sha256()
    for path, leaf in keras.tree.flatten_with_path(logits):
        array = np.asarray(leaf)
        if array.dtype.hasobject or array.dtype.kind in "SU":
            raise ValueError(
                f"`logits` must hold numeric arrays. Received: {leaf!r} at "
                f"{path}. Pass what `predict` returned."
            )
        digest.update(repr((path, array.dtype.name, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class BitExactness:
    """Compares each task's logits with those at its consolidation, by hash.

    Call `record` right after the consolidation of each task, and `verify`
    after the last one. The inputs are kept, so that both see the same ones, in
    batches of the same size: the order of summation may depend on it.

    Example:

    ```python
    bit_exactness = BitExactness()
    for task in scenario:
        ...
        model.consolidate(task.validation)
        x, _ = next(iter(task.test))
        bit_exactness.record(model, task.name, x)
    bit_exactness.verify(model)     # {"a": True, "b": True}
    ```
    """

    def __init__(self, batch_size: int = 256) -> None:
        check_integers(batch_size=batch_size)
        if batch_size < 1:
            raise ValueError(
                f"`batch_size` must be at least 1. Received: {batch_size}. "
                "Pass for example 256."
            )
        self.batch_size = batch_size
        # Inputs and hash of each task.
        self._recorded = {}
        self._results = {}

    @property
    def hashes(self) -> dict[str, str]:
        """The recorded hash of each task."""
        recorded = dict(self._recorded)
        return {name: known for name, (_, known) in recorded.items()}

    @property
    def all(self) -> bool:
        """Whether every recorded task was verified and found identical.

        False if nothing was recorded, or something after the last `verify`.
        """
        results = self._results
        verified = results.keys() == self._recorded.keys()
        return bool(results) and verified and all(results.values())

    def record(self, model: Any, task_name: str, x: Any) -> str:
        """Stores and returns the hash of a task's logits.

        Args:
            model: `ContinualModel`.
            x: Inputs of the task, an array or a nest of arrays, batch first.
                A copy is kept.
        """
        check_model(model)
        inputs = self._checked(task_name, x)
        logits_hash = self._hash(model, task_name, inputs)
        self._keep(task_name, inputs, logits_hash)
        return logits_hash

    def resume(self, task_name: str, x: Any, logits_hash: str) -> None:
        """Takes over what `record` stored of a task in another process."""
        check_strings(logits_hash=logits_hash)
        self._keep(task_name, self._checked(task_name, x), logits_hash)

    def _keep(self, task_name, *found):
        # Another thread may have kept the same task meanwhile.
        if self._recorded.setdefault(task_name, found) is not found:
            self._refuse(task_name)

    def _refuse(self, task_name):
        raise ValueError(
            f"`task_name` {task_name!r} was recorded before, and a new record "
            "would hide a change. Make a new BitExactness."
        )

    def _checked(self, task_name, x):
        check_strings(task_name=task_name)
        if task_name in self._recorded:
            self._refuse(task_name)
        if isinstance(x, tf.data.Dataset):
            raise ValueError(
                "`x` must be an array or a nest of arrays. Received a "
                "tf.data.Dataset, which may give other inputs next time. "
                "Pass `next(iter(dataset))[0]`."
            )
        parts = keras.tree.flatten(x)
        if not parts or not all(hasattr(part, "shape") for part in parts):
            raise TypeError(
                "`x` must be an array or a nest of arrays, batch first. "
                f"Received: x={shown(x)}"
            )
        return keras.tree.map_structure(np.array, x)

    def verify(self, model: Any) -> dict[str, bool]:
        """Predicts the kept inputs of every task again, and compares.

        `model` may also be the same one loaded from a file. The result tells
        for each recorded task whether its logits are the same bits.
        """
        check_model(model)
        results = {
            name: self._hash(model, name, inputs) == known
            for name, (inputs, known) in list(self._recorded.items())
        }
        self._results = results
        return dict(results)

    def _hash(self, model, task_name, inputs):
        logits = model.predict(
            inputs, task=task_name, verbose=0, batch_size=self.batch_size
        )
        return hash_logits(logits)
