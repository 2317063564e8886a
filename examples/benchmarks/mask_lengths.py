"""Lengths that the coded masks of a bank are measured against."""

import numpy as np

from tsn_keras.bank.bit_strings import entropy
from tsn_keras.bank.mask_coding import make_plans


def ideal_bits(
    mask: np.ndarray,
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> float:
    """Returns the code length of `encode_mask` before rounding to bytes.

    With `k` ones in each coded string of `n` bits this is

        header + sum(log2(n + 1) + n * H(k / n))

    over the strings (all levels, all cells). Everything the decoder needs is
    counted. Arguments are those of `encode_mask`.

    >>> ideal_bits(np.zeros((10, 10), bool))
    8.0
    """
    if not mask.size:
        return 0.0
    if mask.all() or not mask.any():
        return 8.0
    plain = 8.0 + 8 * ((mask.size + 7) // 8)
    plans = make_plans(mask, reference, within)
    return min(plain, *(plan.bits for plan in plans))


def zero_order_entropy(mask: np.ndarray) -> float:
    """Returns the bits of a mask whose slots are taken as independent.

    With `k` of `n` slots on, `n * H(k / n)` where
    `H(p) = -p * log2(p) - (1 - p) * log2(1 - p)` (Shannon, 1948), without any
    side information.

    >>> zero_order_entropy(np.array([True, False, False, True]))
    4.0
    """
    return float(entropy(np.count_nonzero(mask), mask.size))
