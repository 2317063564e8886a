"""What the bank stores of a task: components, private variables, facts."""

import dataclasses
import math

import numpy as np

from tsn_keras.bank import mask_coding, packing

# Widths that are no number of bits a code, but say what else is stored: arrays
# of other types than float32, one number for all entries, and floats.
RAW_WIDTH, CONSTANT_WIDTH, HALF_WIDTH, FLOAT_WIDTH = -1, 0, 16, 32


@dataclasses.dataclass(frozen=True)
class Component:
    """One task's own codes in one kernel, and the slots it uses there.

    Args:
        width: Bits a code: 1 to 8, or 32 for the float32 values themselves,
            without a codebook.
        own_count: Number of own slots.
        own_mask: The coded mask of the own slots.
        shared_mask: The coded mask of the shared slots.
        codes: The packed codes of the own slots, in flat order.
        codebook: At most `2 ** width` float32 centroids, none if the width
            is 32.
    """

    width: int
    own_count: int
    own_mask: bytes
    shared_mask: bytes
    codes: bytes
    codebook: np.ndarray

    @classmethod
    def encode(
        cls,
        own_mask: np.ndarray,
        shared_mask: np.ndarray,
        owned: np.ndarray,
        values: np.ndarray | None,
        width: int,
        codebook: np.ndarray | None = None,
        codes: np.ndarray | None = None,
        reference: np.ndarray | None = None,
    ) -> "Component":
        """Packs a task's part of a kernel.

        All arrays but the codebook and the codes have the kernel's shape.

        Args:
            own_mask: bool array.
            shared_mask: bool array, within `owned`.
            owned: bool array, the slots of earlier tasks of the plane.
            values: float32 array, only read and stored if `width` is 32.
            width: Bits a code.
            codebook: float32 array of the centroids.
            codes: Integer array, one code for each own slot in flat order.
            reference: bool array or `None`, the slots, own and shared, that
                the task's reference uses. The masks are coded by it where
                that is shorter.

        Raises:
            ValueError: If a slot is own and `owned`, or shared and not
                `owned`.
        """
        if (own_mask & owned).any() or (shared_mask & ~owned).any():
            raise ValueError(
                "A component's own slots must be free on its plane and its "
                "shared slots owned. Received masks that overlap otherwise."
            )
        if width == FLOAT_WIDTH:
            stream = np.float32(values[own_mask]).tobytes()
            codebook = np.zeros(0, np.float32)
        else:
            stream = packing.pack_codes(codes, width).tobytes()
        return cls(
            width,
            int(own_mask.sum()),
            *_coded_masks(own_mask, shared_mask, owned, reference),
            stream,
            np.float32(codebook),
        )

    def with_masks(
        self,
        own_mask: np.ndarray,
        shared_mask: np.ndarray,
        owned: np.ndarray,
        reference: np.ndarray | None = None,
    ) -> "Component":
        """Returns the same component for a plane with other earlier tasks.

        The masks mark the same slots as before; they are coded anew.

        Args:
            own_mask: As in `encode`, as is all that follows.
        """
        masks = _coded_masks(own_mask, shared_mask, owned, reference)
        own_mask, shared_mask = masks
        return dataclasses.replace(
            self, own_mask=own_mask, shared_mask=shared_mask
        )

    def reduced(
        self, own_mask: np.ndarray, kept: np.ndarray, owned: np.ndarray
    ) -> "Component":
        """Returns a component of a part of the own slots, with their values.

        Nothing is left of the others: the codebook holds no centroid that was
        theirs alone, so the width may be smaller. It shares no slots.

        Args:
            own_mask: bool array of the own slots.
            kept: bool array, the part of them.
            owned: As in `encode`.
        """
        values, nothing = self.own_values()[kept[own_mask]], np.zeros_like(kept)
        width, codebook, codes = FLOAT_WIDTH, None, None
        if self.width != FLOAT_WIDTH:
            # By their bits: -0.0 and 0.0 are two values.
            bits, codes = np.unique(values.view(np.uint32), return_inverse=True)
            codebook = bits.view(np.float32)
            width = max(1, (len(codebook) - 1).bit_length())
        placed = np.zeros(kept.shape, np.float32)
        placed[kept] = values
        return Component.encode(
            kept, nothing, owned, placed, width, codebook, codes
        )

    @property
    def num_bytes(self) -> int:
        """Bytes of masks, codes and codebook."""
        masks = len(self.own_mask) + len(self.shared_mask)
        return masks + len(self.codes) + self.codebook.nbytes

    @property
    def needs_reference(self) -> bool:
        """Whether a mask is coded by the slots of the task's reference."""
        masks = self.own_mask, self.shared_mask
        return any(map(mask_coding.needs_reference, masks))

    @property
    def needs_owned(self) -> bool:
        """Whether the own mask is coded within the slots without owner."""
        return mask_coding.needs_within(self.own_mask)

    @property
    def shares(self) -> bool:
        """Whether there may be shared slots."""
        return self.shared_mask not in (b"", b"\0")

    def own_slots(
        self,
        shape: tuple[int, ...],
        owned: np.ndarray | None = None,
        reference: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the bool mask of the own slots.

        Args:
            shape: The kernel's shape.
            owned: bool array as given to `encode`, if it `needs_owned`.
            reference: bool array likewise, if it `needs_reference`.
        """
        free = None if owned is None else ~owned
        return mask_coding.decode_mask(self.own_mask, shape, reference, free)

    def shared_slots(
        self, owned: np.ndarray, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the bool mask of the shared slots.

        Arguments are those of `own_slots`; `owned` is always needed.
        """
        return mask_coding.decode_shared(self.shared_mask, owned, reference)

    def own_codes(self) -> np.ndarray:
        """Returns the `uint8` codes of the own slots, if it has a codebook."""
        stream = np.frombuffer(self.codes, np.uint8)
        return packing.unpack_codes(stream, self.width, self.own_count)

    def own_values(self) -> np.ndarray:
        """Returns the float32 values of the own slots in flat order."""
        if self.width == FLOAT_WIDTH:
            return np.frombuffer(self.codes, np.float32)
        return self.codebook[self.own_codes()]


def _coded_masks(
    own_mask: np.ndarray,
    shared_mask: np.ndarray,
    owned: np.ndarray,
    reference: np.ndarray | None,
) -> tuple[bytes, bytes]:
    """Returns the coded masks of own and of shared slots."""
    free = ~owned if owned.any() else None
    return (
        mask_coding.encode_mask(own_mask, reference, free),
        mask_coding.encode_shared(shared_mask, owned, reference),
    )


@dataclasses.dataclass(frozen=True)
class PrivateCode:
    """One private variable: a bias, a normalization array, a head's weight.

    The width in bits tells the form of `data`:

    - 0: all entries are equal; one float32.
    - 1 to 8: `value = lowest + step * code`, two float32 and packed codes.
    - 16, 32: float16 or float32 entries.
    - -1: variables of other types than float32, as they are.

    The shape and the dtype are the variable's.
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
            value: Array of any shape and dtype.
            width: 1 to 8, 16 or 32.
        """
        value = np.asarray(value)
        shape, dtype = value.shape, value.dtype.name
        if dtype != "float32":
            return cls(RAW_WIDTH, shape, dtype, value.tobytes())
        if value.size and (value == value.flat[0]).all():
            return cls(CONSTANT_WIDTH, shape, dtype, value.flat[0].tobytes())
        if width == HALF_WIDTH:
            with np.errstate(over="ignore"):
                half = value.astype(np.float16)
            if np.isfinite(half).all():
                return cls(HALF_WIDTH, shape, dtype, half.tobytes())
        # Lowest and step take as much as two entries.
        elif width != FLOAT_WIDTH and value.size > 2:
            with np.errstate(over="ignore", invalid="ignore"):
                step = np.ptp(value) / np.float32(2**width - 1)
            # It vanishes among subnormals and overflows at the far end.
            if 0.0 < step < np.inf:
                lowest = value.min()
                codes = np.rint((value - lowest) / step).astype(np.int64)
                codes = codes.clip(0, 2**width - 1).reshape(-1)
                packed = packing.pack_codes(codes, width)
                data = lowest.tobytes() + step.tobytes() + packed.tobytes()
                return cls(width, shape, dtype, data)
        return cls(FLOAT_WIDTH, shape, dtype, value.tobytes())

    @staticmethod
    def num_bytes(width: int, shape: tuple[int, ...], dtype: str) -> int:
        """Returns the length of `data`, which the other fields determine."""
        size = math.prod(shape)
        if width == RAW_WIDTH:
            return size * np.dtype(dtype).itemsize
        if width == CONSTANT_WIDTH:
            return 4
        lowest_and_step = 8 if width <= packing.MAX_WIDTH else 0
        return lowest_and_step + packing.num_bytes(size, width)

    def decode(self) -> np.ndarray:
        """Returns the array that the task computes with."""
        if self.width in (RAW_WIDTH, FLOAT_WIDTH):
            return np.frombuffer(self.data, self.dtype).reshape(self.shape)
        if self.width == CONSTANT_WIDTH:
            return np.full(self.shape, np.frombuffer(self.data, np.float32)[0])
        if self.width == HALF_WIDTH:
            half = np.frombuffer(self.data, np.float16)
            return half.astype(np.float32).reshape(self.shape)
        lowest, step = np.frombuffer(self.data[:8], np.float32)
        stream = np.frombuffer(self.data[8:], np.uint8)
        codes = packing.unpack_codes(stream, self.width, math.prod(self.shape))
        value = lowest + step * codes.astype(np.float32)
        return value.reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """A consolidated task, or what others share of one that was removed.

    Args:
        name: The task's name; `None` if the task was removed.
        planes: For each kernel, the plane that its component lies on.
        head: Index of the head that the task uses.
        components: One a kernel.
        private: One a private variable.
        statistics: Activation statistics that later tasks are compared with;
            the code of an empty array if none are kept.
        facts: Numbers and strings for the task's report.
        reference: The number of an earlier record (`WeightBank.number`) or
            `None`. Masks may be coded by the slots that it uses.
        inference: What tells the task apart from others, if anything does.
    """

    name: str | None
    planes: tuple[int, ...]
    head: int
    components: tuple[Component, ...]
    private: tuple[PrivateCode, ...]
    statistics: PrivateCode
    facts: dict
    reference: int | None = None
    inference: tuple[PrivateCode, ...] = ()

    @property
    def plane(self) -> int:
        """The plane of all kernels, the highest if they lie on several."""
        return max(self.planes, default=0)

    @property
    def is_task(self) -> bool:
        """Whether the task is still there."""
        return self.name is not None

    def is_same(self, other: "TaskRecord | None") -> bool:
        """Tells whether both are of one consolidation.

        Masks are coded anew when another task is removed.
        """
        return other is not None and self.statistics is other.statistics

    @property
    def class_names(self) -> list[str] | None:
        """Names of the head's outputs, if they were given."""
        names = self.facts.get("class_names")
        return None if names is None else list(names)
