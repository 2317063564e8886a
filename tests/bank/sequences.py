"""Random lives of a bank beside a model of it in plain NumPy.

`BankMachine` is a state machine of Hypothesis. `sequences_test` runs a
few hundred; `python -m tools.fault_run --parts=banks` runs 10,000.
"""

import copy
import dataclasses
import pickle
from collections.abc import Sequence

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import faults
from tsn_keras.bank import (
    BudgetError,
    Component,
    PrivateCode,
    TaskRecord,
    WeightBank,
)

SHAPES = [(4, 3), (2, 2, 1, 2)]
PATHS = ["dense/kernel", "conv/kernel"]
WIDTHS = (1, 2, 3, 5, 8, 32)
NUM_PLANES = 2
# More tasks would fill all slots.
MOST_TASKS = 12


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a task owns and shares in one kernel.

    Args:
        values: Of the own slots, zero elsewhere.
        shared_values: Of the shared ones, zero elsewhere.
    """

    plane: int
    width: int
    own: np.ndarray
    values: np.ndarray
    shared: np.ndarray
    shared_values: np.ndarray


@dataclasses.dataclass(frozen=True)
class PlainTask:
    """A task; `None` is the name of one that was removed."""

    name: str | None
    pieces: list[Piece]
    private: Sequence[np.ndarray] = ()


class PlainBank:
    """What a bank must hold, as arrays."""

    def __init__(self, tasks: Sequence[PlainTask] = ()):
        self.tasks = list(tasks)

    @property
    def names(self) -> list[str]:
        return [task.name for task in self.tasks if task.name is not None]

    def task(self, name: str) -> PlainTask:
        return next(task for task in self.tasks if task.name == name)

    def plane(self, kernel: int, plane: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns owned slots and their values."""
        owned = np.zeros(SHAPES[kernel], bool)
        values = np.zeros(SHAPES[kernel], np.float32)
        for task in self.tasks:
            piece = task.pieces[kernel]
            if piece.plane == plane:
                assert not (owned & piece.own).any()
                owned |= piece.own
                values[piece.own] = piece.values[piece.own]
        return owned, values

    def used_bits(self, kernel: int) -> np.ndarray:
        bits = np.zeros(SHAPES[kernel], int)
        for task in self.tasks:
            piece = task.pieces[kernel]
            bits[piece.own] += piece.width
        return bits

    def followed_by(self, task: PlainTask) -> "PlainBank":
        return PlainBank([*self.tasks, task])

    def without(self, name: str) -> "PlainBank":
        left = PlainBank(
            [
                dataclasses.replace(task, name=None)
                if task.name == name
                else task
                for task in self.tasks
            ]
        )
        tasks = [
            task
            if task.name is not None
            else PlainTask(None, list(map(left.shrunk, task.pieces, (0, 1))))
            for task in left.tasks
        ]
        return PlainBank(
            [
                task
                for task in tasks
                if task.name is not None
                or any(piece.own.any() for piece in task.pieces)
            ]
        )

    def shrunk(self, piece: Piece, kernel: int) -> Piece:
        """Returns what tasks share of a piece."""
        needed, width = np.zeros_like(piece.own), piece.width
        for task in self.tasks:
            other = task.pieces[kernel]
            if task.name is not None and other.plane == piece.plane:
                needed |= other.shared
        own = piece.own & needed
        if width != 32:
            held = {value.tobytes() for value in piece.values[own]}
            width = max(1, (len(held) - 1).bit_length()) if held else 1
        nothing = np.zeros_like(own)
        return dataclasses.replace(piece, own=own, width=width, shared=nothing)


def drawn_record(
    plain: PlainBank, bank: WeightBank, name: str, seed: int
) -> tuple[TaskRecord, PlainTask]:
    """Returns a record that fits a bank, and what it holds."""
    rng = np.random.default_rng(seed)
    reference, there = None, [None] * len(SHAPES)
    if bank.tasks and rng.random() < 0.5:
        other = bank.tasks[rng.integers(len(bank.tasks))]
        reference, there = bank.number(other), bank.used_slots(other)
    pieces, components = [], []
    for kernel, shape in enumerate(SHAPES):
        plane = int(rng.integers(NUM_PLANES))
        width = int(rng.choice(WIDTHS))
        owned, frozen = plain.plane(kernel, plane)
        density = rng.choice([0.0, 0.2, 0.4, 0.6])
        own = ~owned & (rng.random(shape) < density)
        shared = owned & (rng.random(shape) < rng.choice([0.0, 0.5, 1.0]))
        size = min(2**width, 256)
        size = int(rng.integers(1, size + 1))
        book = np.round(rng.normal(size=size), 1).astype(np.float32)
        codes = rng.integers(0, size, own.sum())
        values = np.zeros(shape, np.float32)
        values[own] = book[codes]
        args = own, shared, owned, values, width, book, codes
        components.append(Component.encode(*args, reference=there[kernel]))
        held = np.where(shared, frozen, np.float32(0))
        pieces.append(Piece(plane, width, own, values, shared, held))
    private = [
        rng.normal(size=3).astype(np.float32),
        np.zeros((2, 2), np.float32),
        np.int64(seed),
    ]
    codes = tuple(PrivateCode.encode(value, 32) for value in private)
    record = TaskRecord(
        name=name,
        planes=tuple(piece.plane for piece in pieces),
        head=0,
        components=tuple(components),
        private=codes,
        statistics=codes[0],
        facts={"nearest": None, "divergence": None, "after": 0.5},
        reference=reference,
    )
    return record, PlainTask(name, pieces, private)


def check_same(plain: PlainBank, bank: WeightBank) -> None:
    """Asserts that a bank holds what it must, to the bit."""
    assert list(bank.tasks) == plain.names
    assert len(bank.records) == len(plain.tasks)
    for kernel in range(len(SHAPES)):
        expected = plain.used_bits(kernel)
        np.testing.assert_array_equal(bank.used_bits(kernel), expected)
    for name in bank.tasks:
        check_task(plain.task(name), bank)


def check_task(task: PlainTask, bank: WeightBank) -> None:
    effective, masks = bank.effective(task.name), bank.masks(task.name)
    for piece, kernel, (own, shared) in zip(task.pieces, effective, masks):
        np.testing.assert_array_equal(own, piece.own)
        np.testing.assert_array_equal(shared, piece.shared)
        expected = np.where(piece.own, piece.values, piece.shared_values)
        assert kernel.tobytes() == expected.tobytes()
    for value, expected in zip(bank.private(task.name), task.private):
        assert value.tobytes() == expected.tobytes()


def run_lives(count: int) -> None:
    """Runs so many random lives, the same ones every time."""
    run_state_machine_as_test(
        BankMachine,
        settings=hypothesis.settings(
            max_examples=count,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            # A failing life is printed as it is: making it short takes minutes.
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


class BankMachine(RuleBasedStateMachine):
    """Adds, removes, saves, loads, copies and decodes, in any order."""

    def __init__(self):
        super().__init__()
        self.bank = WeightBank(SHAPES, PATHS)
        self.plain = PlainBank()

    @precondition(lambda self: len(self.plain.names) < MOST_TASKS)
    @rule(seed=st.integers(0, 2**32 - 1))
    def add(self, seed):
        name = f"<{seed}>"
        if name in self.plain.names:
            return
        record, task = drawn_record(self.plain, self.bank, name, seed)
        after = self.plain.followed_by(task)
        if all(after.used_bits(kernel).max() <= 32 for kernel in (0, 1)):
            self.bank.add(record)
            self.plain = after
            return
        saved = self.bank.to_bytes()
        try:
            self.bank.add(record)
        except BudgetError:
            assert self.bank.to_bytes() == saved
        else:
            raise AssertionError("A slot holds more than 32 bits.")

    @precondition(lambda self: self.plain.names)
    @rule(which=st.integers(0, 2**16))
    def remove(self, which):
        name = self.plain.names[which % len(self.plain.names)]
        self.bank.remove(name)
        self.plain = self.plain.without(name)
        assert name.encode() not in pickle.dumps(self.bank)

    @precondition(lambda self: self.plain.names)
    @rule(which=st.integers(0, 2**16), line=st.integers(0, 400))
    def remove_interrupted(self, which, line):
        name = self.plain.names[which % len(self.plain.names)]
        faults.interrupted(lambda: self.bank.remove(name), line, "bank")
        if name not in self.bank:
            self.plain = self.plain.without(name)

    @rule()
    def save_and_load(self):
        saved = self.bank.to_bytes()
        other = WeightBank(SHAPES, PATHS)
        other.load_bytes(saved)
        assert other.to_bytes() == saved
        counted = self.bank.count_bytes()
        assert sum(counted.values()) == len(saved)
        self.bank = other

    @rule(as_pickle=st.booleans())
    def copy(self, as_pickle):
        if as_pickle:
            self.bank = pickle.loads(pickle.dumps(self.bank))
        else:
            self.bank = copy.deepcopy(self.bank)

    @precondition(lambda self: self.plain.names)
    @rule(which=st.integers(0, 2**16))
    def decode_one(self, which):
        name = self.plain.names[which % len(self.plain.names)]
        check_task(self.plain.task(name), self.bank)

    @precondition(lambda self: self.plain.names)
    @rule(kernel=st.integers(0, 1), plane=st.integers(0, NUM_PLANES - 1))
    def look_at_a_plane(self, kernel, plane):
        owned, values = self.plain.plane(kernel, plane)
        view = self.bank.plane_view([plane] * len(SHAPES))
        np.testing.assert_array_equal(view.owned[kernel], owned)
        np.testing.assert_array_equal(view.frozen[kernel], values)

    @invariant()
    def names_are_the_same(self):
        assert list(self.bank.tasks) == self.plain.names

    def teardown(self):
        check_same(self.plain, self.bank)
        saved = self.bank.to_bytes()
        other = WeightBank(SHAPES, PATHS)
        other.load_bytes(saved)
        check_same(self.plain, other)
