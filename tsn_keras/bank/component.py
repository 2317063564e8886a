"""What one task stores in one kernel."""

import dataclasses

import numpy as np

from tsn_keras.bank import mask_coding, packing

FLOAT_WIDTH = 32


@dataclasses.dataclass(frozen=True)
class Component:
    """One task's own codes in one kernel, and the slots it uses there.

    Args:
        width: int, bits a code: 1 to 8, or 32 for the float32 values
            themselves, without a codebook.
        own_count: int, number of own slots.
        own_mask: bytes, the coded mask of the own slots, possibly by
            reference to the slots that an earlier task uses.
        shared_mask: bytes, the coded mask of the shared slots, over the
            slots that earlier tasks of the plane own, and possibly by
            reference to those of them that the same task uses.
        codes: bytes, the codes of the own slots in flat order, packed.
        codebook: float32 array of at most `2 ** width` centroids, empty if
            the width is 32.
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
        values: np.ndarray,
        width: int,
        codebook: np.ndarray | None = None,
        codes: np.ndarray | None = None,
        reference: np.ndarray | None = None,
    ) -> "Component":
        """Packs a task's part of a kernel.

        Args:
            own_mask: bool array of the kernel's shape.
            shared_mask: bool array of the kernel's shape, within `owned`.
            owned: bool array, the slots of earlier tasks of the plane.
            values: float32 array of the kernel's shape, stored as they are
                if `width` is 32.
            width: int, bits a code.
            codebook: float32 array of the centroids.
            codes: integer array, one code for each own slot in flat order.
            reference: bool array of the kernel's shape, or `None`. The slots,
                own and shared, that the task's reference uses. The masks
                are coded by it where that is shorter.

        Returns:
            A `Component`.
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
            width=width,
            own_count=int(own_mask.sum()),
            own_mask=mask_coding.encode_own(own_mask, owned, reference),
            shared_mask=mask_coding.encode_shared(
                shared_mask, owned, reference
            ),
            codes=stream,
            codebook=np.float32(codebook),
        )

    @property
    def num_bytes(self) -> int:
        """Bytes of masks, codes and codebook."""
        masks = len(self.own_mask) + len(self.shared_mask)
        return masks + len(self.codes) + self.codebook.nbytes

    @property
    def needs_reference(self) -> bool:
        """Whether a mask is coded by the slots of the task's reference."""
        return any(
            map(mask_coding.needs_reference, (self.own_mask, self.shared_mask))
        )

    @property
    def shares(self) -> bool:
        """Whether there may be shared slots."""
        return self.shared_mask not in (b"", b"\0")

    @property
    def needs_owned(self) -> bool:
        """Whether the own mask is coded within the slots without owner."""
        return mask_coding.needs_within(self.own_mask)

    def own_slots(
        self,
        shape: tuple[int, ...],
        owned: np.ndarray | None = None,
        reference: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the bool mask of the own slots.

        Args:
            shape: tuple of int, the kernel's.
            owned: bool array, as given to `encode`. Only read if the
                component `needs_owned`.
            reference: bool array, as given to `encode`. Only read if the
                component `needs_reference`.
        """
        return mask_coding.decode_own(self.own_mask, shape, owned, reference)

    def shared_slots(
        self, owned: np.ndarray, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the bool mask of the shared slots.

        Args:
            owned: bool array, the slots of earlier tasks of the plane.
            reference: bool array, as given to `encode`.
        """
        return mask_coding.decode_shared(self.shared_mask, owned, reference)

    def own_values(self) -> np.ndarray:
        """Returns the float32 values of the own slots in flat order."""
        if self.width == FLOAT_WIDTH:
            return np.frombuffer(self.codes, np.float32)
        stream = np.frombuffer(self.codes, np.uint8)
        codes = packing.unpack_codes(stream, self.width, self.own_count)
        return self.codebook[codes]
