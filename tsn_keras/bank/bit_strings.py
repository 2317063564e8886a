"""Strings of bits in a range coder's stream.

In most strings, one of the two bits is rarer than the other. A string of `n`
bits with `k` ones is coded as the gaps between its rarer bits. Let `q` be the
part of the rarer bits, `k / n` or `1 - k / n`. A gap of `g` frequent bits then
has the probability `q * (1 - q)**g`. So the code is as long as if every bit
were coded with its own probability (`n * H(k / n)`), but only the rarer bits
cost time. Gaps of `K` or more are split: the symbol `K` stands for `K` frequent
bits without a rare one after them. What follows the last rare bit needs no
code.

The number of ones comes before the gaps. All numbers from 0 to `n` are taken as
equally likely.
"""

import functools
import math

import constriction
import numpy as np
from numpy.typing import ArrayLike

_MAX_GAP = 255
# The number of ones of longer strings has two digits.
_DIGIT = 2**16
# Beyond this many words the few bytes that shortening saves do not matter.
_MAX_WORDS_TO_SHORTEN = 1024


class DamagedError(ValueError):
    """Raised for data that no encoder has made."""


def count_bits(sizes: ArrayLike) -> np.ndarray:
    """Returns the bits that the number of ones takes, for each string size."""
    sizes = np.asarray(sizes, np.float64)
    digits = np.log2(np.floor(sizes / _DIGIT) + 1) + np.log2(_DIGIT)
    return np.where(sizes < _DIGIT, np.log2(sizes + 1), digits)


def entropy(ones: ArrayLike, slots: ArrayLike) -> np.ndarray:
    """Returns `slots * H(ones / slots)` in bits, element by element."""
    return _xlog2x(slots) - _xlog2x(ones) - _xlog2x(slots - ones)


def _xlog2x(x):
    x = np.asarray(x, np.float64)
    return x * np.log2(np.maximum(x, 1.0))


def _others(places: np.ndarray, size: int) -> np.ndarray:
    """All places of a string but these. `np.delete` takes longer."""
    bits = np.ones(size, bool)
    bits[places] = False
    return np.flatnonzero(bits)


def _gap_model(rare: int, size: int):
    """The probabilities of gaps, and the longest gap that is not split.

    Only exactly rounded operations in a fixed order lead to them, so that
    every machine rebuilds the same ones.
    """
    q = rare / size
    longest = min(_MAX_GAP, math.ceil(3 / q))
    probabilities = np.empty(longest + 1)
    probabilities.fill(1.0 - q)
    probabilities[0] = 1.0
    np.multiply.accumulate(probabilities, out=probabilities)
    probabilities[:-1] *= q
    model = constriction.stream.model.Categorical(
        probabilities, perfect=False, lazy=False
    )
    return model, longest


def _digits(count: int, size: int) -> list[tuple[int, int]]:
    """The digits of a number of ones, and how many values each can have."""
    if size < _DIGIT:
        return [(count, size + 1)] if size else []
    high, low = divmod(count, _DIGIT)
    return [(high, size // _DIGIT + 1), (low, _DIGIT)]


@functools.lru_cache(1024)
def _uniform(radix: int):
    return constriction.stream.model.Uniform(radix)


class StringEncoder:
    """Puts strings one after another into one stream."""

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()
        self._coded = []

    def add(self, ones: np.ndarray, size: int) -> None:
        """Codes a string of `size` bits, given the places of its ones."""
        for digit, radix in _digits(ones.size, size):
            self._put(np.array([digit], np.int32), _uniform(radix))
        if not 0 < ones.size < size:
            return
        if 2 * ones.size > size:
            ones = _others(ones, size)
        model, longest = _gap_model(ones.size, size)
        gaps = np.diff(ones, prepend=-1) - 1
        ends = np.cumsum(gaps // longest + 1)
        symbols = np.full(ends[-1], longest, np.int32)
        symbols[ends - 1] = gaps % longest
        self._put(symbols, model)

    def _put(self, symbols, model):
        self._coder.encode(symbols, model)
        self._coded.append((symbols, model))

    def stream(self) -> bytes:
        words = self._coder.get_compressed()
        # Big-endian words keep the least significant bits at the very end.
        stream = words.astype(">u4").tobytes()
        if words.size <= _MAX_WORDS_TO_SHORTEN:
            return self._shorten(stream)
        return stream

    def _shorten(self, stream: bytes) -> bytes:
        """Drops trailing bytes that the decoder can do without."""
        # The coder closes its stream with whole words. But any number in its
        # last interval decodes to the same symbols, if zeros follow.
        number = int.from_bytes(stream, "big")
        for kept in range(max(0, len(stream) - 8), len(stream)):
            prefix = number >> 8 * (len(stream) - kept)
            for candidate in (prefix, prefix + 1):
                if candidate >> 8 * kept:
                    continue
                shorter = candidate.to_bytes(kept, "big")
                if self._decodes(shorter):
                    return shorter
        return stream

    def _decodes(self, stream: bytes) -> bool:
        decoder = StringDecoder(stream)
        try:
            return all(
                np.array_equal(decoder.symbols(model, symbols.size), symbols)
                for symbols, model in self._coded
            )
        except DamagedError:
            return False


class StringDecoder:
    """Takes the strings out of a stream, in the order they were put in.

    All methods raise `DamagedError` where no encoder can have made the stream.
    """

    def __init__(self, stream: bytes):
        padded = stream + bytes(-len(stream) % 4)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def symbols(self, model, *count: int) -> np.ndarray | int:
        """Decodes `count` symbols of a model; without a count one, as `int`."""
        try:
            return self._decoder.decode(model, *count)
        # This is how constriction reports data that no encoder can have made.
        except AssertionError as error:
            raise DamagedError("The stream is damaged.") from error

    def ones(self, size: int) -> np.ndarray:
        """Returns the places of the ones in the next string of `size` bits."""
        count = 0
        for _, radix in _digits(0, size):
            count = count * _DIGIT + self.symbols(_uniform(radix))
        if count > size:
            raise DamagedError("The stream is damaged.")
        if 2 * count <= size:
            return self._rare(count, size)
        return _others(self._rare(size - count, size), size)

    def _rare(self, count: int, size: int) -> np.ndarray:
        if not count:
            return np.zeros(0, np.int64)
        model, longest = _gap_model(count, size)
        parts, missing, split = [], count, 0
        # There are at least as many symbols as rare bits, and one more for
        # each time that a gap was split.
        while missing:
            part = self.symbols(model, missing)
            parts.append(part)
            missing = int(np.count_nonzero(part == longest))
            split += missing
            if split * longest > size:
                raise DamagedError("The stream is damaged.")
        symbols = np.concatenate(parts)
        is_rare = symbols < longest
        ends = (symbols + is_rare).cumsum(dtype=np.int64)
        places = ends[is_rare] - 1
        if places[-1] >= size:
            raise DamagedError("The stream is damaged.")
        return places
