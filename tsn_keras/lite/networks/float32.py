"""A model of mixed precision as one that computes in float32."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tsn_keras.keras_internals import flatten_layers
from tsn_keras.lite.checks import ExportError

HALVES = ("float16", "bfloat16")
POLICIES = (*HALVES, "mixed_float16", "mixed_bfloat16")
# How far 16 bits may be from float32, on average: part of the outputs' size.
# A model of other weights is much further away.
MOST_ROUNDING = 0.1


def in_float32(model: Any) -> Any:
    """Returns a model of the same tasks whose layers compute in float32.

    Weights are float32 in both, and so are the tasks' bits. LiteRT has no
    kernels for layers that compute in 16 bits. A model without such layers is
    returned itself.
    """
    if not any(layer.compute_dtype in HALVES for layer in _layers(model)):
        return model
    with float32_by_default():
        config = _without_halves(model.get_config())
        # The heads follow one by one: some may be one layer now.
        heads = config["heads"]
        config["heads"] = []
        other = type(model).from_config(config)
        if not other.switch.is_built:
            other.build_from_config(model.get_build_config())
        numbers = [
            other.heads.add(keras.saving.deserialize_keras_object(head))
            for head in heads
        ]
        other.bank.set_base(model.bank.base_values())
        other.switch.install_base(model.switch.base_values())
        for record in model.bank.records:
            number = numbers[record.head]
            other.bank.add(dataclasses.replace(record, head=number))
        if model.heads.selected is not None:
            other.switch.select_head(numbers[model.heads.selected])
    return other


def check_alike(outputs: dict, expected: dict) -> None:
    """Refuses outputs in float32 that do not come from the same weights."""
    for name, array in expected.items():
        array = np.asarray(array, np.float32)
        size = max(float(np.abs(array).mean()), np.finfo(np.float16).eps)
        excess = float(np.abs(outputs[name] - array).mean()) / size
        if not excess <= MOST_ROUNDING:
            raise ExportError(
                "The file computes in float32, and the model in 16 bits. They "
                f"differ by {excess:.1%} on average, which is more than "
                "rounding. A layer may have a state that its configuration "
                "does not hold, such as a vocabulary. Make the model and its "
                "heads under `keras.config.set_dtype_policy('float32')`, load "
                "the tasks with `load_weights`, and export that."
            )


def _layers(model: Any) -> list[keras.layers.Layer]:
    found = [*flatten_layers(model.backbone), model.heads]
    for number in range(model.heads.count):
        with model.heads.reading(number):
            found += flatten_layers(model.heads.head)
    return found


@contextlib.contextmanager
def float32_by_default() -> Iterator[None]:
    """Lets new layers compute in float32, in this thread."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _without_halves(config: Any) -> Any:
    """Returns a configuration with float32 for all that computes in 16 bits."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_without_halves, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        name = config["config"]["name"]
        if name in POLICIES:
            return {**config, "config": {"name": "float32"}}
    if config.get("dtype") in POLICIES:
        config = {**config, "dtype": "float32"}
    return {key: _without_halves(value) for key, value in config.items()}
