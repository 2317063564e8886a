"""What a bundle stores of its tasks: one array of bytes, and where is what.

All tasks of a plane share one list of entries for each kernel, in the order
of the tasks that own them. A task uses the entries up to its own last one:
all of its own, and those of earlier tasks for which it has a bit.
"""

import dataclasses

import numpy as np

from tsn_keras.bank import WeightBank, packing
from tsn_keras.lite.byte_store import (
    CODE_TABLES,
    TABLE_PLACES,
    TABLE_WIDTHS,
    ByteStore,
    code_bytes,
)
from tsn_keras.lite.gap_code import GapCode, encode_gaps
from tsn_keras.lite.private_layout import PrivateLayout

FLOAT_WIDTH = 32
# A code has 16 bits at most.
MAX_VALUES = 2**16

# The part by which a stream may grow so that tables can decode it.
LOW_GROWTH = 0.1
CODE_GROWTH = 0.05

# The fields of a row and how many columns each takes. What a graph would have
# to reckon from others stands there, too, since that takes operators.
COUNTED_FIELDS = {"": 1, "_bytes": 1, "_shape": 2, "_extent": 2}
TABLE_FIELDS = {"": 1, "_bytes": 1, "_table": 1, "_size": 1, "_shape": 2}
KERNEL_FIELDS = {
    "count": 1,
    "low_step": 1,
    "high": 1,
    "high_bytes": 1,
    "codebook": 1,
    "codebook_bytes": 1,
}
SHARED_FIELDS = {
    "stride": 1,
    "shared": 1,
    "shared_bytes": 1,
    "shared_count": 1,
    "own_count": 1,
}


@dataclasses.dataclass
class Block:
    """The table of one kernel.

    Args:
        shape: tuple of int, the kernel's shape as it is stored.
        rows: list of dict, one for each task, of bytes' places and counts:
            lists of as many integers as the field has columns.
        shares: bool, whether any task uses entries of another.
        tabled: dict, for `low` and `codes` whether a table decodes them.
    """

    shape: tuple[int, ...]
    rows: list[dict]
    shares: bool
    tabled: dict[str, bool]

    @property
    def fields(self) -> dict[str, int]:
        """The fields of the table's rows, and how many columns each takes."""
        fields = {**KERNEL_FIELDS, **(SHARED_FIELDS if self.shares else {})}
        for name, is_tabled in self.tabled.items():
            stream = TABLE_FIELDS if is_tabled else COUNTED_FIELDS
            fields |= {name + field: size for field, size in stream.items()}
        return fields

    def table(self) -> np.ndarray:
        """Returns the rows as an int32 array."""
        rows = [
            np.concatenate([np.atleast_1d(row[name]) for name in self.fields])
            for row in self.rows
        ]
        return np.array(rows, np.int32)


class Layout:
    """Packs the tasks of a bank.

    Args:
        bank: `WeightBank`.
        tasks: list of str, the tasks of the bundle.
        orders: list of tuples of int, for each kernel the order of axes that
            it is stored in.
    """

    def __init__(self, bank: WeightBank, tasks: list[str], orders: list):
        self.bank = bank
        self.tasks = tasks
        self.store = ByteStore()
        self._append = self.store.append
        self.kernels = [
            self._kernel_block(index, order)
            for index, order in enumerate(orders)
        ]
        private = [list(bank.private_codes(task)) for task in tasks]
        self.private = PrivateLayout(private, self.store)

    def _kernel_block(self, index: int, order: tuple[int, ...]) -> Block:
        planes = {t: self.bank[t].planes[index] for t in self.tasks}
        found = []
        for plane in dict.fromkeys(planes.values()):
            members = [t for t in self.tasks if planes[t] == plane]
            found.append(_PlaneEntries(self.bank, index, order, members))
        tabled = {"low": _low_tabled(found), "codes": _codes_tabled(found)}
        rows: dict[str, dict] = {}
        for entries in found:
            rows.update(self._plane_rows(entries, tabled))
        shape = tuple(self.bank.shapes[index][axis] for axis in order)
        shares = any(row["shared_count"] for row in rows.values())
        rows = [rows[task] for task in self.tasks]
        return Block(shape, rows, shares, tabled)

    def _plane_rows(self, entries: "_PlaneEntries", tabled: dict) -> dict:
        """Packs one plane of one kernel, and says where its tasks find it."""
        gaps = entries.gaps(tabled["low"])
        width = entries.code_width(tabled["codes"])
        codebook = entries.codebook
        if tabled["codes"]:
            # The whole table is looked up in it, codes that nobody has, too.
            missing = max(0, 2**width - codebook.size)
            codebook = np.pad(codebook, (0, missing))
        codebook = codebook.tobytes()
        plane = {
            "low": self.store.append_codes(gaps.low, gaps.width),
            "low_step": 2**gaps.width,
            "high": self._append(gaps.high),
            "codes": self.store.append_codes(entries.codes, width),
            "codebook": self._append(codebook),
            "codebook_bytes": len(codebook),
            "stride": entries.stride,
        }
        rows = {}
        for task in entries.members:
            count, bits = entries.used_by(task)
            shared = np.packbits(bits, bitorder="little")
            rows[task] = {
                **plane,
                **_stream_fields("low", count, gaps.width, tabled),
                **_stream_fields("codes", count, width, tabled),
                "count": count,
                "high_bytes": -(-int(gaps.ends[count - 1]) // 8),
                "shared": self._append(shared),
                "shared_bytes": shared.size,
                "shared_count": bits.size,
                "own_count": count - bits.size,
            }
        return rows


def _stream_fields(name: str, count: int, width: int, tabled: dict) -> dict:
    size = {f"{name}_bytes": code_bytes(count, width)}
    if not tabled[name]:
        shapes = {f"{name}_shape": (-1, width), f"{name}_extent": (width, 1)}
        return {**size, **shapes}
    return {
        **size,
        f"{name}_table": TABLE_PLACES[width],
        f"{name}_size": CODE_TABLES[width].size,
        f"{name}_shape": CODE_TABLES[width].shape,
    }


def _low_tabled(planes: list) -> bool:
    """Tells whether tables may decode the gaps of all planes of a kernel."""
    taken, best = (
        sum(plane.gaps(tabled).num_bits for plane in planes)
        for tabled in (True, False)
    )
    return taken <= (1 + LOW_GROWTH) * best


def _codes_tabled(planes: list) -> bool:
    """Tells whether tables may decode the codes of all planes of a kernel."""
    if any(plane.code_width(False) > max(TABLE_WIDTHS) for plane in planes):
        return False
    taken, best = (
        sum(p.codes.size * p.code_width(tabled) for p in planes)
        for tabled in (True, False)
    )
    return taken <= (1 + CODE_GROWTH) * best


class _PlaneEntries:
    """The entries of one plane of one kernel, task after task."""

    def __init__(self, bank, index: int, order, members: list[str]):
        self.members = members
        owners = _owners(bank, index, members)
        size = int(np.prod(bank.shapes[index], dtype=np.int64))
        flat = np.arange(size).reshape(bank.shapes[index])
        self._stored = flat.transpose(order).reshape(-1)
        self._masks = {task: self._both(bank, index, task) for task in members}
        parts = [
            self._own_entries(bank, index, owner) for owner in owners
        ]
        self.stride = max(1, *(book.size for _, _, book in parts))
        self._owner_of = np.repeat(
            np.arange(len(owners)), [slots.size for slots, _, _ in parts]
        )
        self._slots = np.concatenate([slots for slots, _, _ in parts])
        self._owners = owners
        self.addresses = self._owner_of * size + self._slots
        self.codes = np.concatenate([codes for _, codes, _ in parts])
        books = np.zeros((len(owners), self.stride), np.float32)
        for row, (_, _, book) in zip(books, parts):
            row[: book.size] = book
        self.codebook = books.reshape(-1)

    def gaps(self, tabled: bool) -> GapCode:
        if tabled:
            return encode_gaps(self.addresses, TABLE_WIDTHS)
        return encode_gaps(self.addresses)

    def code_width(self, tabled: bool) -> int:
        """Returns the bits of a code, enough for the largest codebook."""
        width = max(1, int(self.stride - 1).bit_length())
        if not tabled:
            return width
        return next(wider for wider in TABLE_WIDTHS if wider >= width)

    def _both(self, bank, index, task):
        own, shared = bank.masks(task)[index]
        return tuple(m.reshape(-1)[self._stored] for m in (own, shared))

    def _own_entries(self, bank, index, owner):
        """Returns slots, codes and codebook of what members use of a task."""
        component = bank[owner].components[index]
        book, codes = _codebook_and_codes(component)
        own = bank.own_slots(owner, index).reshape(-1)
        code_of = np.zeros(own.size, np.int64)
        code_of[own] = codes
        used = np.zeros(own.size, bool)
        for mask, shared in self._masks.values():
            used |= mask | shared
        slots = np.flatnonzero(own[self._stored] & used)
        if not slots.size:
            # A list must not be empty; a zero added somewhere does no harm.
            return np.zeros((1,), int), np.zeros((1,), int), np.zeros(1, "f")
        return slots, code_of[self._stored][slots], book

    def used_by(self, task: str) -> tuple[int, np.ndarray]:
        """Returns a task's count of entries, and a bit for earlier ones."""
        owner = self._owners.index(task)
        count = int((self._owner_of <= owner).sum())
        earlier = self._slots[self._owner_of < owner]
        _, shared = self._masks[task]
        return count, shared[earlier].astype(np.uint8)


def _owners(bank: WeightBank, index: int, members: list[str]) -> list[str]:
    """Returns all tasks of a kernel's plane up to its last member."""
    plane = bank[members[0]].planes[index]
    order = [t for t in bank.tasks if bank[t].planes[index] == plane]
    last = max(order.index(task) for task in members)
    return order[: last + 1]


def _codebook_and_codes(component) -> tuple[np.ndarray, np.ndarray]:
    if component.width == FLOAT_WIDTH:
        values = component.own_values()
        book, codes = np.unique(values, return_inverse=True)
        if book.size > MAX_VALUES:
            raise ValueError(
                f"A task has {book.size} different float32 weights in a "
                f"kernel, and a bundle takes {MAX_VALUES}. Train it with "
                "`quantization=`, or export it with `export_task`."
            )
        return book, codes.reshape(-1)
    stream = np.frombuffer(component.codes, np.uint8)
    codes = packing.unpack_codes(stream, component.width, component.own_count)
    return component.codebook, codes


def packed_bytes(bank: WeightBank, tasks: list[str]) -> int:
    """Returns what tasks take in the bank: masks, codes, private variables.

    Args:
        bank: `WeightBank`.
        tasks: list of str.
    """
    total = 0
    for record in (bank[task] for task in tasks):
        for part in record.components:
            total += len(part.own_mask) + len(part.shared_mask)
            total += len(part.codes) + part.codebook.nbytes
        total += sum(len(code.data) for code in record.private)
    return total
