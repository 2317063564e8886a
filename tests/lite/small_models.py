"""Models with tasks in their banks that nobody had to train."""

import keras
import numpy as np

import tsn_keras
from tsn_keras.bank import Component, PrivateCode, TaskRecord

layers = keras.layers


def dense_backbone(units=(12, 9), inputs=20, **arguments):
    arguments = {"activation": "relu", **arguments}
    hidden = [layers.Dense(size, **arguments) for size in units]
    return keras.Sequential([keras.Input((inputs,)), *hidden])


def make_model(backbone=None, tasks=2, classes=4, **arguments):
    """Returns a model of consolidated tasks, made by `add_random_task`."""
    backbone = dense_backbone() if backbone is None else backbone
    model = tsn_keras.ContinualModel(backbone, sharing=None)
    if model.bank is None:
        model.build((None, 20))
    for number in range(tasks):
        add_random_task(model, number, layers.Dense(classes), **arguments)
    return model


def add_random_task(
    model,
    number,
    head,
    kept=0.3,
    width=3,
    plane=None,
    kind="clustered",
    private_width=8,
    uneven=False,
    first_plane=None,
):
    """Puts a task of random weights into the bank of a model.

    The first kernel may lie on another plane, and each kernel may have a width
    of its own. Where a plane has owners already, half of their slots are
    shared. Uneven kernels are like trained ones: half of the units have few
    slots, and some inputs none.
    """
    random = np.random.default_rng(number)
    model.switch.select_head(model.heads.add(head))
    plane = number if plane is None else plane
    planes = [plane] * len(model.bank.shapes)
    if first_plane is not None:
        planes[0] = first_plane
    view = model.bank.plane_view(planes)
    widths = np.broadcast_to(width, len(planes)).tolist()
    components = [
        _component(
            random,
            owned,
            # Slots that have room for it.
            model.bank.used_bits(index) + widths[index] <= 32,
            kept,
            widths[index],
            kind,
            uneven,
        )
        for index, owned in enumerate(view.owned)
    ]
    private = [
        PrivateCode.encode(_private(random, variable), private_width)
        for variable in model.switch.private
    ]
    facts = dict.fromkeys(("nearest", "divergence"))
    facts.update(monitor="accuracy", before=0.5, after=0.5)
    model.bank.add(
        TaskRecord(
            name=f"task {number}",
            planes=tuple(planes),
            head=model.heads.selected,
            components=tuple(components),
            private=tuple(private),
            statistics=PrivateCode.encode(np.zeros(0, np.float32), 32),
            facts=facts,
        )
    )


def _component(random, owned, room, kept, width, kind, uneven):
    drawn = random.random(owned.shape)
    if uneven:
        drawn[..., ::2] *= 5
        drawn[::3] = 1
    own = (drawn < kept) & ~owned & room
    shared = owned & (random.random(owned.shape) < 0.5)
    fan_in = max(2, int(np.prod(owned.shape[:-1])) * kept)
    values = random.standard_normal(owned.shape) * np.sqrt(2 / fan_in)
    values = values.astype(np.float32)
    codes, book = None, None
    if width < 32 and kind == "linear":
        top = 2 ** (width - 1) - 1
        book = np.float32(0.1) * np.arange(-top, top + 1, dtype=np.float32)
        codes = random.integers(0, book.size, int(own.sum()))
    elif width < 32:
        book = np.sort(random.choice(values.reshape(-1), 2**width))
        codes = random.integers(0, 2**width, int(own.sum()))
    return Component.encode(own, shared, owned, values, width, book, codes)


def _private(random, variable):
    value = random.standard_normal(variable.shape) * 0.3
    if "variance" in variable.name or "gamma" in variable.name:
        value = 1.0 + np.abs(value)
    return value.astype(variable.dtype)


def random_inputs(model, count=9):
    random = np.random.default_rng(7)
    shape = (count, *model.switch.inputs.shape[1:])
    if "int" in model.switch.inputs.dtype:
        return random.integers(0, 5, shape).astype(model.switch.inputs.dtype)
    return random.standard_normal(shape).astype(np.float32)
