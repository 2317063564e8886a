"""What a network does to its inputs first."""

from typing import Any

import keras
import numpy as np

from tsn_keras.lite.networks.links import unwrapped


def known_normalization(backbone: keras.layers.Layer) -> dict | None:
    """Returns `mean` and `std` by which a backbone scales its inputs.

    That is what `Rescaling` and `Normalization` do in the first layers; `None`
    if there are none. The network computes `(x - mean) / std` itself.
    """
    scale, offset = np.ones(1), np.zeros(1)
    found = False
    for layer in _first_layers(unwrapped(backbone)):
        factors = _factors(layer)
        if factors is None:
            break
        found = True
        scale, offset = scale * factors[0], offset * factors[0] + factors[1]
    if not found or not (np.isfinite(scale).all() and scale.all()):
        return None
    scale, offset = np.broadcast_arrays(scale, offset)
    mean, std = -offset / scale, 1 / scale
    return {"mean": _rounded(mean), "std": _rounded(std)}


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") + 0.0 for value in values]


def _first_layers(layer: Any) -> list[keras.layers.Layer]:
    """Returns the layers of a chain from its single input on."""
    if len(getattr(layer, "inputs", None) or ()) != 1:
        return []
    found, reached = [], layer.inputs[0]
    for inner in layer.layers:
        if isinstance(inner, keras.layers.InputLayer):
            continue
        inner = unwrapped(inner)
        is_next = isinstance(layer, keras.Sequential) or (
            getattr(inner, "input", None) is reached
        )
        if not is_next or _factors(inner) is None:
            break
        found.append(inner)
        reached = inner.output
    return found


def _factors(layer: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns scale and offset of a layer that does nothing else."""
    if isinstance(layer, keras.layers.Rescaling):
        return _flat(layer.scale), _flat(layer.offset)
    is_plain = isinstance(layer, keras.layers.Normalization)
    if not is_plain or layer.invert or layer.mean is None:
        return None
    std = np.maximum(np.sqrt(_flat(layer.variance)), keras.config.epsilon())
    return 1 / std, -_flat(layer.mean) / std


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1)
