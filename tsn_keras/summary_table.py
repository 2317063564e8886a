"""The table that `summary` adds: what each task uses of each kernel."""

from collections.abc import Callable

from tsn_keras.bank import SLOT_BITS, WeightBank

HEADER = ("task", "kernel", "plane", "sparsity", "bits", "own", "shared")


def _rows(bank: WeightBank) -> list[tuple[str, ...]]:
    rows = []
    for task in bank.tasks:
        record = bank[task]
        for path, plane, component, (own, shared) in zip(
            bank.paths, record.planes, record.components, bank.masks(task)
        ):
            used = int(own.sum()) + int(shared.sum())
            row = (
                task,
                path,
                plane,
                f"{1 - used / own.size:.1%}",
                component.width,
                int(own.sum()),
                int(shared.sum()),
            )
            rows.append(tuple(map(str, row)))
    return rows


def print_tasks(bank: WeightBank, print_fn: Callable[[str], None]) -> None:
    """Prints sparsity, bits, own and shared slots, and what is left.

    Args:
        bank: `WeightBank`.
        print_fn: function of a line of text.
    """
    rows = [HEADER, *_rows(bank)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = zip(row, widths)
        print_fn("  ".join(f"{cell:<{width}}" for cell, width in cells))
    for index, path in enumerate(bank.paths):
        used = bank.used_bits(index)
        free = 1.0 - used.mean() / SLOT_BITS
        print_fn(
            f"{path}: {free:.1%} of the bits free, at most {used.max()} of "
            f"{SLOT_BITS} used in a slot"
        )
