"""How a task's private variables are stored."""

import dataclasses
import math

import numpy as np

from tsn_keras.bank import packing

RAW, CONSTANT, HALF, FULL = -1, 0, 16, 32


@dataclasses.dataclass(frozen=True)
class PrivateCode:
    """One private variable: a bias, a normalization array, a head's weight.

    The width in bits tells the form of `data`:

    - 0: all entries are equal; one float32.
    - 1 to 8: `value = lowest + step * code`, two float32 and packed codes.
    - 16, 32: float16 or float32 entries.
    - -1: variables of other types than float32, as they are.

    Args:
        width: int.
        shape: tuple of int.
        dtype: str, the variable's own dtype.
        data: bytes.
    """

    width: int
    shape: tuple[int, ...]
    dtype: str
    data: bytes

    @classmethod
    def encode(cls, value: np.ndarray, width: int) -> "PrivateCode":
        """Encodes an array at a width, or smaller if that is exact.

        Arrays for which a width is no use are stored as float32: those with
        two entries or fewer, those with entries that are not finite, and
        those whose range float32 or float16 cannot express.

        Args:
            value: array of any shape and dtype.
            width: int, 1 to 8, 16 or 32.

        Returns:
            A `PrivateCode`.
        """
        value = np.asarray(value)
        shape, dtype = value.shape, value.dtype.name
        if dtype != "float32":
            return cls(RAW, shape, dtype, value.tobytes())
        if value.size and (value == value.flat[0]).all():
            return cls(CONSTANT, shape, dtype, value.flat[0].tobytes())
        if width == HALF:
            with np.errstate(over="ignore"):
                half = value.astype(np.float16)
            if np.isfinite(half).all():
                return cls(HALF, shape, dtype, half.tobytes())
        # Lowest and step take as much as two entries.
        elif width != FULL and value.size > 2:
            with np.errstate(over="ignore", invalid="ignore"):
                step = np.ptp(value) / np.float32(2**width - 1)
            # It vanishes among subnormals and overflows at the far end.
            if 0.0 < step < np.inf:
                return cls._encode_linear(value, width, step)
        return cls(FULL, shape, dtype, value.tobytes())

    @classmethod
    def _encode_linear(
        cls, value: np.ndarray, width: int, step: np.float32
    ) -> "PrivateCode":
        lowest = value.min()
        codes = np.rint((value - lowest) / step).astype(np.int64)
        codes = codes.clip(0, 2**width - 1).reshape(-1)
        packed = packing.pack_codes(codes, width)
        data = lowest.tobytes() + step.tobytes() + packed.tobytes()
        return cls(width, value.shape, value.dtype.name, data)

    def decode(self) -> np.ndarray:
        """Returns the array that the task computes with."""
        if self.width == RAW:
            return np.frombuffer(self.data, self.dtype).reshape(self.shape)
        if self.width == CONSTANT:
            return np.full(self.shape, np.frombuffer(self.data, np.float32)[0])
        if self.width == FULL:
            return np.frombuffer(self.data, np.float32).reshape(self.shape)
        if self.width == HALF:
            half = np.frombuffer(self.data, np.float16)
            return half.astype(np.float32).reshape(self.shape)
        lowest, step = np.frombuffer(self.data[:8], np.float32)
        stream = np.frombuffer(self.data[8:], np.uint8)
        count = math.prod(self.shape)
        codes = packing.unpack_codes(stream, self.width, count)
        value = lowest + step * codes.astype(np.float32)
        return value.reshape(self.shape)
