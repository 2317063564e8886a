"""Tasks with random contents for tests of the bank."""

import numpy as np

from tsn_keras.bank import Component, PrivateCode, TaskRecord, WeightBank

SHAPES = [(6, 5), (3, 3, 2, 4)]
PATHS = ["dense/kernel", "conv/kernel"]


def random_record(
    bank: WeightBank,
    name: str,
    plane: int = 0,
    width: int = 3,
    density: float = 0.3,
    seed: int = 0,
) -> TaskRecord:
    """Returns a task that fits the plane, with half of its slots shared."""
    rng = np.random.default_rng(seed)
    view = bank.plane_view(plane)
    components = []
    for shape, owned in zip(bank.shapes, view.owned):
        own = ~owned & (rng.random(shape) < density)
        shared = owned & (rng.random(shape) < 0.5)
        values = rng.normal(size=shape).astype(np.float32)
        codebook = rng.normal(size=min(2**width, 256)).astype(np.float32)
        codes = rng.integers(0, codebook.size, own.sum())
        components.append(
            Component.encode(own, shared, owned, values, width, codebook, codes)
        )
    private = (
        PrivateCode.encode(rng.normal(size=(5,)).astype(np.float32), 8),
        PrivateCode.encode(np.zeros((4, 2), np.float32), 16),
        PrivateCode.encode(np.uint32([seed, 7]), 32),
        PrivateCode.encode(np.int64(3), 4),
    )
    return TaskRecord(
        name=name,
        plane=plane,
        head=0,
        components=tuple(components),
        private=private,
        statistics=rng.normal(size=12).astype(np.float16),
        facts={"monitor": "accuracy", "divergence": None, "after": 0.5},
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
