"""Two words say how a file stores weights: its precision and compression."""

import dataclasses

import tensorflow as tf

QUANTIZED = tf.lite.Optimize.DEFAULT
COMPRESSIONS = ("auto", "none", "micro")


@dataclasses.dataclass(frozen=True)
class Precision:
    """What numbers a file stores and computes with.

    Args:
        weights: str, `float32`, `float16`, `int8` or `int4`.
        integer: bool, whether activations, inputs and outputs are int8 too.
    """

    weights: str
    integer: bool = False

    @property
    def is_float(self) -> bool:
        return self.weights.startswith("float")

    def settings(self, representative_data=None) -> dict:
        """Returns the converter's settings.

        Integer files need representative data, a function that yields inputs.
        """
        settings = {"optimizations": []}
        if self.weights != "float32":
            settings["optimizations"].append(QUANTIZED)
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
    "dynamic_int8": Precision("int8"),
    "int8": Precision("int8", integer=True),
    "int4": Precision("int4"),
}


def get_precision(name: str) -> Precision:
    """Returns the precision of a name, or says which there are.

    >>> get_precision("int8").integer
    True
    """
    if not isinstance(name, str) or name not in PRECISIONS:
        raise ValueError(
            f"Unknown precision '{name}'. Choose one of: "
            f"{', '.join(PRECISIONS)}. Zeros are left out by "
            "`compression='auto'`."
        )
    return PRECISIONS[name]


def check_compression(name: str) -> None:
    """Refuses what is no compression, and says which there are."""
    if not isinstance(name, str) or name not in COMPRESSIONS:
        raise ValueError(
            f"Unknown compression '{name}'. Choose one of: "
            f"{', '.join(COMPRESSIONS)}. 'auto' leaves zeros out where that "
            "makes the file smaller, 'none' stores every weight, 'micro' lets "
            "microcontrollers decode them."
        )
