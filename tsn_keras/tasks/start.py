"""What happens before the first training step of a task."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tsn_keras.bank import WeightBank, widest_width
from tsn_keras.data import TrainingData, checked_class_names
from tsn_keras.distribution import of_first_worker
from tsn_keras.layers import MaskedKernel
from tsn_keras.pruning import Pruning, TaskMask, kept_slots
from tsn_keras.sharing import Nearest, PlaneChoice, compare, kl_divergence
from tsn_keras.tasks import checks
from tsn_keras.tasks.call_arguments import check_compiled
from tsn_keras.tasks.initialization import (
    derived_seed,
    fresh_weights,
    reset_seed_generators,
)
from tsn_keras.tasks.optimizer import start_optimizer
from tsn_keras.tasks.running_task import RunningTask
from tsn_keras.tasks.snapshot import Snapshot
from tsn_keras.tasks.task_switch import TaskSwitch
from tsn_keras.tasks.trial import predicts_labels, try_planes

FLOAT_WIDTHS = (32, 32)


def add_task(
    model: keras.Model,
    name: str,
    head: keras.layers.Layer,
    loss: Any = None,
    metrics: Any = None,
    class_names: Sequence[str] | None = None,
) -> None:
    """Makes a new task the running one."""
    # Before the checks, which may build the head.
    keeps_weights = getattr(head, "built", False)
    class_names = checked_class_names(class_names)
    name = checks.check_new_task(model, name, head, class_names)
    check_compiled({"loss": loss, "metrics": metrics})
    model.compiled_heads.add_task(name, loss, metrics)
    task = RunningTask(name, model.heads.add(head), keeps_weights, class_names)
    model.switch.take_up(task)
    if keeps_weights:
        for own, given in zip(model.heads.head.weights, head.weights):
            own.assign(given)
    if model.optimizer_factory is not None:
        # From here on it is the user's, until the task is consolidated.
        model.optimizer_factory.reset_learning_rate(model.optimizer)


def discard_task(model: keras.Model) -> None:
    """Gives up the running task, and brings back the one before it."""
    checks.check_running(model)
    task, switch = model.running_task, model.switch
    switch.let_go()
    model.compiled_heads.drop_task(task.name)
    switch.leave()
    if model.tasks:
        switch.to(model.tasks[-1])
    elif task.begun and task.untrained_backbone is not None:
        task.untrained_backbone.restore()


class TaskStart:
    """Brings the running task of a model to the start of its training."""

    def __init__(self, model: keras.Model, data: TrainingData):
        self._model = model
        self._data = data
        self._task = model.running_task

    def run(self) -> None:
        """Chooses plane, slots and starting values.

        If that is interrupted, the task has not begun and nothing is decided.
        """
        model, data = self._model, self._data
        if not model.bank.tasks:
            switch = model.switch
            checks.check_reads(model.backbone, switch.kernels, switch.inputs)
            model.bank.set_base(switch.base_values())
        checks.check_head_calls(model)
        switch = model.switch
        checks.check_class_count(
            self._task.class_names, switch.head, switch.features
        )
        before = self._task.copy()
        try:
            with data.untouched():
                choice = self._choose_plane()
                if choice.doubtful and not predicts_labels(model, choice, data):
                    choice = try_planes(model, choice, data, self._begin)
            self._begin(choice)
        except BaseException:
            self._task.go_back_to(before)
            raise

    def _choose_plane(self) -> PlaneChoice:
        sharing, bank = self._model.sharing, self._model.bank
        divergences = self._divergences() if sharing.needs_statistics else {}
        planes = {name: bank[name].plane for name in bank.tasks}
        return sharing.choose(planes, divergences)

    def _divergences(self) -> dict[str, float]:
        """Compares the task with earlier ones, with a few if there are many."""
        switch, bank = self._model.switch, self._model.bank
        sharing, stored = self._model.sharing, {}
        sample = of_first_worker(self._data.sample(sharing.sample_size))

        def divergence_from(name):
            with switch.reading(name):
                statistics = switch.activation_statistics(sample)
            return kl_divergence(statistics, bank[name].statistics.decode())

        for name in bank.tasks:
            # What was learned without statistics cannot be compared.
            if math.prod(bank[name].statistics.shape):
                facts = bank[name].facts
                stored[name] = Nearest(facts["nearest"], facts["divergence"])
        found = compare(stored, divergence_from, sharing.candidates)
        return {
            name: found.get(name, math.inf)
            for name in bank.tasks
            if name in found or name not in stored
        }

    def _begin(self, choice: PlaneChoice) -> None:
        """Puts the task at the start of its training on a plane."""
        model, task = self._model, self._task
        switch, number = model.switch, len(model.bank.tasks)
        task.take_planes(choice, *planes_of(choice, model.bank))
        self._find_room()
        if model.seed is not None:
            keras.utils.set_random_seed(derived_seed(model.seed, number))
        if not task.keeps_head:
            head = model.heads.head
            fresh = fresh_weights(head, switch.features)
            for variable, value in zip(head.weights, fresh):
                variable.assign(value)
        if not number:
            task.keep_backbone(Snapshot(switch.weights_of_backbone))
        start_values(task, switch, model.bank, model.seed)
        for mask in task.masks:
            mask.apply()
        start_optimizer(model)
        task.begin()

    def _find_room(self) -> None:
        """Finds the slots that the task's masks may contain.

        Raises:
            BudgetError: If a kernel has no bits left.
        """
        model, task, bank = self._model, self._task, self._model.bank
        pruning, quantization = model.pruning, model.quantization
        kernels = model.switch.kernels
        widths = FLOAT_WIDTHS
        if quantization is not None:
            widths = quantization.narrowest, quantization.max_width
        if isinstance(pruning, Pruning):
            pruning.check_budget([kernel.size for kernel in kernels], widths[0])
        owned = bank.plane_view(task.planes).owned
        limits, available = [], []
        for index, kernel in enumerate(kernels):
            used, taken = bank.used_bits(index), owned[index]
            sparsity = pruning.target(kernel.path) if pruning else 0.0
            count = kept_slots(kernel.size, sparsity)
            count = round(task.own_fraction(index) * count)
            count = min(count + taken.sum(), kernel.size)
            width = widest_width(used, taken, count, *widths, kernel.path)
            # The sum is taken in a wide type: 32 + 32 would pass in uint8 too,
            # but a user's max_width must never wrap around.
            available.append(used.astype(np.int32) + width <= 32)
            limits.append(width)
        masks = plane_masks(task, kernels, bank, available, widths[0])
        task.take_room(widths[0], limits, masks)


def planes_of(
    choice: PlaneChoice, bank: WeightBank
) -> tuple[tuple[int, ...], str | None]:
    """Returns the plane of each kernel, and the task that slots come from."""
    new = max((bank[name].plane for name in bank.tasks), default=-1) + 1
    planes = [new] * len(bank.shapes)
    joined = choice.num_joined(len(planes))
    if joined and choice.nearest is None:
        planes[:joined] = [choice.plane] * joined
    elif joined:
        planes[:joined] = bank[choice.nearest].planes[:joined]
    return tuple(planes), choice.nearest if joined else None


def plane_masks(
    task: RunningTask,
    kernels: list[MaskedKernel],
    bank: WeightBank,
    available: list[np.ndarray],
    width: int,
) -> list[TaskMask]:
    """Returns masks over a task's planes, with what the task inherits.

    A kernel on a new plane inherits nothing: no slot of it is owned there.
    """
    view = bank.plane_view(task.planes)
    inherited = view.owned
    if task.inherits is not None:
        inherited = bank.used_slots(task.inherits)
    parts = zip(kernels, view.owned, view.frozen, available, inherited)
    return [
        TaskMask(*part, task.own_fraction(index), width)
        for index, part in enumerate(parts)
    ]


def start_values(
    task: RunningTask, switch: TaskSwitch, bank: WeightBank, seed: int | None
) -> None:
    """Gives kernels and private variables the values training starts from.

    The first task takes the backbone as it is, so that pretrained weights
    count. A later one that inherits another's subnetwork starts as that task:
    its own slots hold zeros, and the private variables are the other's. If
    it inherits the first kernels only, that holds up to the first that it does
    not. A warm start mixes these values with newly initialized ones, and owns
    them. Any other task starts from newly initialized kernels and private
    variables.
    """
    backbone, head = switch.backbone, switch.head
    if seed is not None:
        for index, layer in enumerate((backbone, head)):
            layer_seed = derived_seed(seed, len(bank.tasks), index)
            reset_seed_generators(layer, layer_seed)
    if not bank.tasks:
        return
    with switch.trainable_as_made():
        values = fresh_weights(backbone, switch.inputs)
    fresh = dict(zip(map(id, backbone.weights), values))
    for kernel in switch.kernels:
        if kernel.scores is not None:
            kernel.scores.assign(fresh[id(kernel.scores)])
    values = [fresh[id(kernel.kernel)] for kernel in switch.kernels]
    values = _start_of_kernels(task, bank, values)
    for kernel, value in zip(switch.kernels, values):
        kernel.kernel.assign(value)
    values = [fresh[id(v)] for v in switch.private_of_backbone]
    values = _start_of_private(task, switch, bank, values)
    for variable, value in zip(switch.private, values):
        variable.assign(value)


def _start_of_kernels(
    task: RunningTask, bank: WeightBank, fresh: list[np.ndarray]
) -> list[np.ndarray]:
    part = task.choice.warm_start
    if task.inherits is not None:
        joined = [np.zeros_like(value) for value in fresh[: task.num_joined]]
        return joined + fresh[task.num_joined :]
    if not part:
        return fresh
    others = bank.effective(task.choice.nearest)
    return [_mixed(value, other, part) for value, other in zip(fresh, others)]


def _start_of_private(
    task: RunningTask,
    switch: TaskSwitch,
    bank: WeightBank,
    fresh: list[np.ndarray],
) -> list[np.ndarray]:
    """Returns values of the backbone's variables, and the head's if known."""
    part = 1.0 if task.inherits is not None else task.choice.warm_start
    if not part:
        return fresh
    nearest = task.choice.nearest
    others = bank.private(nearest)
    if task.num_joined not in (0, len(task.planes)):
        count = switch.num_private_before(task.num_joined)
        return others[:count] + fresh[count:]
    if bank[nearest].head == task.head and not task.keeps_head:
        head = switch.head.weights
        fresh = fresh + [keras.ops.convert_to_numpy(v) for v in head]
    return [_mixed(value, other, part) for value, other in zip(fresh, others)]


def _mixed(value: np.ndarray, other: np.ndarray, part: float) -> np.ndarray:
    """Returns `part * other + (1 - part) * value`, or `other` itself."""
    if part == 1.0 or not keras.backend.is_float_dtype(value.dtype.name):
        return other
    return np.asarray(part * other + (1.0 - part) * value, value.dtype)
