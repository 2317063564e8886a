"""Tasks with random contents for tests of the bank."""

import numpy as np

from tsn_keras.bank import Component, PrivateCode, TaskRecord, WeightBank

SHAPES = [(6, 5), (3, 3, 2, 4)]
PATHS = ["dense/kernel", "conv/kernel"]


def random_record(
    bank: WeightBank,
    name: str,
    planes: int | tuple[int, ...] = 0,
    width: int = 3,
    density: float = 0.3,
    seed: int = 0,
    reference: int | None = None,
) -> TaskRecord:
    """Returns a task that fits the planes, with half of its slots shared.

    With a reference it shares what that task uses; on other planes it also has
    most of its slots.
    """
    rng = np.random.default_rng(seed)
    if isinstance(planes, int):
        planes = (planes,) * len(bank.shapes)
    view = bank.plane_view(planes)
    components = []
    used = [None] * len(bank.shapes)
    if reference is not None:
        used = bank.used_slots(bank.tasks[reference])
    for shape, owned, there in zip(bank.shapes, view.owned, used):
        own = ~owned & (rng.random(shape) < density)
        shared = owned & (rng.random(shape) < 0.5)
        if there is not None:
            own = ~owned & there & (rng.random(shape) < 0.9)
            shared = owned & there
        values = rng.normal(size=shape).astype(np.float32)
        codebook = rng.normal(size=min(2**width, 256)).astype(np.float32)
        codes = rng.integers(0, codebook.size, own.sum())
        components.append(
            Component.encode(
                own, shared, owned, values, width, codebook, codes, there
            )
        )
    values = (
        rng.normal(size=(5,)).astype(np.float32),
        np.zeros((4, 2), np.float32),
        np.uint32([seed, 7]),
        np.int64(3),
    )
    return TaskRecord(
        name=name,
        planes=planes,
        head=0,
        components=tuple(components),
        private=tuple(map(PrivateCode.encode, values, (8, 16, 32, 4))),
        statistics=PrivateCode.encode(
            rng.normal(size=12).astype(np.float32), 8
        ),
        facts={"monitor": "accuracy", "divergence": None, "after": 0.5},
        reference=reference,
    )


def random_bank(num_tasks: int = 4, num_planes: int = 2) -> WeightBank:
    """Returns a bank whose tasks take turns on the planes."""
    bank = WeightBank(SHAPES, PATHS)
    for index in range(num_tasks):
        record = random_record(
            bank, f"task {index}", index % num_planes, 1 + index, seed=index
        )
        bank.add(record)
    return bank
