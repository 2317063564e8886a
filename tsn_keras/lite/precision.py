"""How the weights of a file may be stored."""

import dataclasses

import tensorflow as tf

SPARSE = tf.lite.Optimize.EXPERIMENTAL_SPARSITY
QUANTIZED = tf.lite.Optimize.DEFAULT


@dataclasses.dataclass(frozen=True)
class Precision:
    """What numbers a file stores and computes with.

    Args:
        weights: str, `float32`, `float16`, `int8` or `int4`.
        integer: bool, whether activations, inputs and outputs are int8 too.
        sparse: bool, whether zeros are left out of the file.
    """

    weights: str
    integer: bool = False
    sparse: bool = False

    @property
    def is_float(self) -> bool:
        return self.weights.startswith("float")

    def settings(self, representative_data=None) -> dict:
        """Returns the converter's settings.

        Integer files need representative data, a function that yields inputs.
        """
        optimizations = []
        if self.weights != "float32":
            optimizations.append(QUANTIZED)
        if self.sparse:
            optimizations.append(SPARSE)
        settings = {"optimizations": optimizations}
        target = {}
        if self.weights == "float16":
            target["supported_types"] = [tf.float16]
        if self.integer:
            target["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            settings["representative_dataset"] = representative_data
            settings["inference_input_type"] = tf.int8
            settings["inference_output_type"] = tf.int8
        return {**settings, "target_spec": tf.lite.TargetSpec(**target)}


PRECISIONS = {
    "float32": Precision("float32"),
    "float16": Precision("float16"),
    "sparse_float32": Precision("float32", sparse=True),
    "sparse_float16": Precision("float16", sparse=True),
    "dynamic_int8": Precision("int8"),
    "sparse_dynamic_int8": Precision("int8", sparse=True),
    "int8": Precision("int8", integer=True),
    "sparse_int8": Precision("int8", integer=True, sparse=True),
    "int4": Precision("int4"),
}


def get_precision(name: str) -> Precision:
    """Returns the precision of a name, or says which there are.

    >>> get_precision("sparse_float32").sparse
    True
    """
    if not isinstance(name, str) or name not in PRECISIONS:
        raise ValueError(
            f"Unknown precision '{name}'. Choose one of: "
            f"{', '.join(PRECISIONS)}."
        )
    return PRECISIONS[name]
