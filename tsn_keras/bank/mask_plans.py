"""The ways to code a mask, of which the shortest is taken."""

import numpy as np

from tsn_keras.bank.density_levels import best_levels, level_strings
from tsn_keras.bank.gap_strings import (
    DamagedError,
    StringDecoder,
    StringEncoder,
)
from tsn_keras.bank.mask_cells import Cells, decode_levels, live_slots

# Marks of masks without any string, and of coded ones with their contexts.
ALL_OFF, CODED, ALL_ON = 0x00, 0x04, 0x10
REFERENCE, WITHIN = 1, 2


class _Part:
    """The slots of a domain, and how they are to be coded."""

    def __init__(self, matrix, domain):
        self.ones = matrix if domain is None else matrix & domain
        self.domain = domain
        count = np.count_nonzero(self.ones)
        slots = matrix.size if domain is None else np.count_nonzero(domain)
        self.mixed = 0 < count < slots
        self.bits = 0.0
        self.head = ALL_ON if count else ALL_OFF
        if self.mixed:
            if domain is not None:
                live = live_slots(domain)
                self.ones, self.domain = self.ones[live], domain[live]
            self.bits, self.levels = best_levels(self.ones, self.domain)
            rows, columns = (int(axis.max()) + 1 for axis in self.levels)
            self.head = 16 * rows + columns

    def encode(self, encoder: StringEncoder) -> None:
        for levels in self.levels:
            for string in level_strings(levels):
                encoder.add(np.flatnonzero(string), string.size)
        cells = Cells(self.ones.shape, self.domain, *self.levels)
        for positions, size in cells.positions(self.ones):
            encoder.add(positions, size)


class Plan:
    """One way to code a mask: its contexts, its parts, its bits."""

    def __init__(self, matrix, reference, within):
        self.flags = REFERENCE * (reference is not None)
        self.flags += WITHIN * (within is not None)
        self.parts = [
            _Part(matrix, domain) for domain in _domains(reference, within)
        ]
        self.mixed = any(part.mixed for part in self.parts)
        header = (self.flags > 0) + len(self.parts)
        self.bits = 8 * header + sum(part.bits for part in self.parts)

    def encode(self) -> bytes:
        head = bytes(part.head for part in self.parts)
        if self.flags:
            head = bytes([CODED + self.flags]) + head
        if not self.mixed:
            return head
        encoder = StringEncoder()
        for part in self.parts:
            if part.mixed:
                part.encode(encoder)
        return head + encoder.stream()


def make_plans(
    matrix: np.ndarray,
    reference: np.ndarray | None,
    within: np.ndarray | None,
) -> list[Plan]:
    """Returns all ways to code a mask.

    Args:
        matrix: bool array with two axes, neither all on nor all off.
        reference: bool array of its shape or `None`.
        within: bool array of its shape or `None`.
    """
    plans = [Plan(matrix, None, None)]
    if within is not None:
        plans.append(Plan(matrix, None, within))
    if reference is not None:
        plans.append(Plan(matrix, reference, within))
    return plans


def _domains(reference, within):
    """The domain of each part, `None` for all slots."""
    if reference is None:
        return [within]
    if within is None:
        return [reference, ~reference]
    return [reference & within, within & ~reference]


def has_context(data: bytes) -> bool:
    """Tells whether data were coded with the help of other masks."""
    return bool(data) and CODED < data[0] <= CODED + REFERENCE + WITHIN


def decode_plan(
    data: bytes,
    shape: tuple[int, int],
    reference: np.ndarray | None,
    within: np.ndarray | None,
) -> np.ndarray:
    """Decodes what a plan has encoded.

    Args:
        data: bytes.
        shape: tuple of int, the matrix's.
        reference: bool array of that shape, or `None` if it is not needed.
        within: likewise.

    Returns:
        bool array.

    Raises:
        DamagedError: If no plan can have made the data.
    """
    body = int(has_context(data))
    domains = _domains(reference, within)
    heads = data[body : body + len(domains)]
    body += len(heads)
    mixed = any(head not in (ALL_OFF, ALL_ON) for head in heads)
    if len(heads) < len(domains) or (not mixed and len(data) > body):
        raise DamagedError("The mask is damaged.")
    decoder = StringDecoder(data[body:])
    matrix = np.zeros(shape, bool)
    for head, domain in zip(heads, domains):
        if head == ALL_ON:
            matrix |= True if domain is None else domain
        elif head != ALL_OFF:
            num_levels = divmod(head, 16)
            if not all(num_levels):
                raise DamagedError("The mask is damaged.")
            _decode_part(matrix, domain, num_levels, decoder)
    return matrix


def _decode_part(matrix, domain, num_levels, decoder):
    """Sets the ones of a part in the matrix."""
    live = None
    part = matrix
    if domain is not None:
        live = live_slots(domain)
        domain = domain[live]
        part = np.zeros(domain.shape, bool)
    levels = [
        decode_levels(axis, number, decoder)
        for axis, number in zip(part.shape, num_levels)
    ]
    Cells(part.shape, domain, *levels).fill(part, decoder)
    if live is not None:
        matrix[live] |= part
