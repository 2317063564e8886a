"""TinySubNets for Keras: learn task after task, forget nothing."""

import os as _os
import sys as _sys

# Keras fails in its own way to load a backend that is not installed.
_backend = _os.environ.get("KERAS_BACKEND", "tensorflow")
if "keras" in _sys.modules or _backend == "tensorflow":
    import keras as _keras

    _backend = _keras.backend.backend()
if _backend != "tensorflow":
    raise ImportError(
        "tsn_keras needs Keras on the TensorFlow backend. The active backend "
        f"is '{_backend}'. Set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported."
    )

from tsn_keras import bank as bank  # noqa: E402
from tsn_keras import baselines as baselines  # noqa: E402
from tsn_keras import callbacks as callbacks  # noqa: E402
from tsn_keras import evaluation as evaluation  # noqa: E402
from tsn_keras import inference as inference  # noqa: E402
from tsn_keras import layers as layers  # noqa: E402
from tsn_keras import lite as lite  # noqa: E402
from tsn_keras import pruning as pruning  # noqa: E402
from tsn_keras import quantization as quantization  # noqa: E402
from tsn_keras import scenarios as scenarios  # noqa: E402
from tsn_keras import sharing as sharing  # noqa: E402
from tsn_keras.continual_model import (  # noqa: E402
    ContinualModel as ContinualModel,
)
from tsn_keras.version import __version__ as __version__  # noqa: E402

# What completion shows. Other modules are the house's own.
__all__ = [
    "ContinualModel",
    "__version__",
    "bank",
    "baselines",
    "callbacks",
    "evaluation",
    "inference",
    "layers",
    "lite",
    "pruning",
    "quantization",
    "scenarios",
    "sharing",
]


def __dir__() -> list[str]:
    return __all__
