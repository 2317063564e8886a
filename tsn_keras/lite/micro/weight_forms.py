"""The forms that TFLite for Microcontrollers decodes weights from.

Its operator `TFLM_DECODE` takes two constants for each tensor: the encoded
bytes, and a header of 16 bytes with a table of values behind it. The format
is documented in tensorflow/lite/micro/compression/decode.py of
tensorflow/tflite-micro.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

# What a tensor of weights is stored as.
FORMS = ("bitmap", "lookup", "plain")
# What the first byte of a header says, and the version in the second.
LOOKUP, BITMAP = 0, 2
VERSION = 1
HEADER_BYTES = 16
# In place of an axis: one table for the whole tensor.
NO_AXIS = 15
MOST_BITS = 7
# What the operator, its tensors and buffers take in a file, roughly.
OVERHEAD = 200


@dataclasses.dataclass(frozen=True)
class WeightForm:
    """A tensor as `TFLM_DECODE` takes it.

    Args:
        name: str, `bitmap` or `lookup`.
        encoded: bytes, a bit or an index for each weight, most significant
            bit first.
        ancillary: bytes, the header and the values.
    """

    name: str
    encoded: bytes
    ancillary: bytes

    @property
    def size(self) -> int:
        return len(self.encoded) + len(self.ancillary)


def smallest_form(
    weights: np.ndarray,
    axis: int | None = None,
    forms: Sequence[str] = FORMS,
) -> WeightForm | None:
    """Returns the smallest form of int8 weights, `None` if plain is smaller.

    Args:
        axis: int, the one along which each channel has a scale of its own, if
            any does. A look-up table may belong to one channel.
        forms: names of those to choose from, of `FORMS`.
    """
    made = [_bitmap(weights), _lookup(weights, None)]
    if axis is not None:
        made.append(_lookup(weights, axis))
    made = [form for form in made if form and form.name in forms]
    found = min(made, key=lambda form: form.size, default=None)
    if found is None or found.size + OVERHEAD >= weights.nbytes:
        return None
    restored = decoded(found, weights.shape)
    if not np.array_equal(restored, weights):
        raise AssertionError(f"The form '{found.name}' is not exact.")
    return found


def decoded(form: WeightForm, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the int8 weights of a form, as `TFLM_DECODE` computes them."""
    header = form.ancillary[:HEADER_BYTES]
    values = np.frombuffer(form.ancillary[HEADER_BYTES:], np.int8)
    bits = np.unpackbits(np.frombuffer(form.encoded, np.uint8))
    size = int(np.prod(shape))
    if header[0] == BITMAP:
        weights = np.zeros(size, np.int8)
        weights[bits[:size].astype(bool)] = values
        return weights.reshape(shape)
    axis, width, stride = header[5] >> 4, header[5] & 7, header[6]
    powers = 1 << np.arange(width)[::-1]
    indices = bits[: size * width].reshape(-1, width) @ powers
    indices = indices.reshape(shape)
    if axis != NO_AXIS:
        channels = np.arange(shape[axis]) * stride
        behind = (1,) * (len(shape) - axis - 1)
        indices = indices + channels.reshape(-1, *behind)
    return values[indices]


def _bitmap(weights: np.ndarray) -> WeightForm:
    """Has a bit for each weight that is not zero, and the values of those."""
    flat = weights.reshape(-1)
    is_used = flat != 0
    values = flat[is_used].tobytes()
    return WeightForm(
        "bitmap", np.packbits(is_used).tobytes(), _header(BITMAP) + values
    )


def _lookup(weights: np.ndarray, axis: int | None) -> WeightForm | None:
    """Has an index for each weight; `None` if there are too many values."""
    rows = weights.reshape(1, -1)
    if axis is not None:
        rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    tables = [np.unique(row) for row in rows]
    longest = max(map(len, tables))
    width = max(1, int(longest - 1).bit_length())
    if width > MOST_BITS:
        return None
    found = [np.searchsorted(t, row) for t, row in zip(tables, rows)]
    indices = np.array(found).reshape(weights.shape)
    if axis is not None:
        others = np.delete(weights.shape, axis)
        indices = np.array(found).reshape(weights.shape[axis], *others)
        indices = np.moveaxis(indices, 0, axis)
    bits = np.unpackbits(indices.astype(np.uint8).reshape(-1, 1), axis=1)
    encoded = np.packbits(bits[:, -width:]).tobytes()
    values = b"".join(np.resize(t, longest).tobytes() for t in tables)
    place = NO_AXIS if axis is None else axis
    # Without steps, firmware that reads no axis stays with the one table.
    stride = 0 if axis is None else longest
    header = _header(LOOKUP, place << 4 | width, stride)
    return WeightForm("lookup", encoded, header + values)


def _header(kind: int, *own: int) -> bytes:
    """Returns a header. The kind's own version is its fifth byte."""
    header = bytes([kind, VERSION, 0, 0, VERSION, *own])
    return header.ljust(HEADER_BYTES, b"\0")


def check_forms(forms: Sequence[str]) -> None:
    """Refuses anything but names of forms."""
    message = (
        f"`forms` must be a list of names, each one of {FORMS}. Received: "
        f"forms={forms!r}"
    )
    if isinstance(forms, str) or not isinstance(forms, Iterable):
        raise TypeError(message)
    if not set(forms) <= set(FORMS):
        raise ValueError(message)
