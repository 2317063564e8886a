"""Extending it

A criterion for pruning, a sharing strategy and a scenario of your own,
each in about ten lines, and a run that uses all three.
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

"""
## A criterion

A criterion is a subclass of `Pruning` with one method, which says how important each
slot of a kernel is. Slots with the largest importance are kept. `mask.values()` are
the weights, in the kernel's shape; here each is compared with the largest one of
its own unit.
"""


@keras.saving.register_keras_serializable(package="mine")
class UnitPruning(tsn_keras.pruning.Pruning):
    """Keeps the slots that are large among those of their own unit."""

    def importance(self, mask):
        values = np.abs(mask.values())
        largest = values.max(axis=tuple(range(values.ndim - 1)), keepdims=True)
        return values / np.maximum(largest, 1e-12)


"""
The decorator is Keras' own: it lets a saved model find the class again.

## A sharing strategy

`choose` is given the plane of every earlier task and returns a `PlaneChoice`. A
plane is a set of tasks that read each other's weights. With
`needs_statistics = True` it is also given `divergences`: how different the new
task's activations are from those of each earlier one.
"""


@keras.saving.register_keras_serializable(package="mine")
class WithFirst(tsn_keras.sharing.Sharing):
    """Lets every task share the slots of the first task."""

    def choose(self, planes, divergences):
        for first, plane in planes.items():
            return tsn_keras.sharing.PlaneChoice(
                plane, first, own_fraction=0.5
            )
        return tsn_keras.sharing.PlaneChoice(None, reason="first")


"""
## A scenario

A scenario is a sequence of tasks; a list will do. A task is any object with
`name`, `train`, `validation` and `test`, the data as `fit` takes them in batches, and
`num_classes` for the head. `scenarios.Task` is such an object.
"""

digits = load_digits()
images, labels = np.float32(digits.data / 16), digits.target


def half(name, inputs):
    """Returns a task whose inputs are one half of each image."""

    def batches(part):
        data = tf.data.Dataset.from_tensor_slices((inputs[part], labels[part]))
        return data.batch(32)

    parts = slice(1000), slice(1000, 1400), slice(1400, None)
    return tsn_keras.scenarios.Task(name, *map(batches, parts), 10, (32,))


tasks = [half("upper", images[:, :32]), half("lower", images[:, 32:])]

"""
## All of it together

`ScenarioRun` learns task after task, evaluates all earlier ones each time, and
writes model and report to a folder. It goes on where it stopped with
`resume=True`.
"""

model = tsn_keras.ContinualModel(
    keras.Sequential(
        [keras.Input((32,)), keras.layers.Dense(100, activation="relu")]
    ),
    pruning=UnitPruning(0.7),
    sharing=WithFirst(),
    seed=0,
)
model.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
run = tsn_keras.evaluation.ScenarioRun(model, tasks, "run")
for task in tasks:
    run.learn(keras.layers.Dense(task.num_classes), epochs=EPOCHS, verbose=0)
report = run.finish({"epochs": EPOCHS})
for entry in report["tasks"]:
    print(entry["name"], entry["sharing"], sum(entry["shared"].values()))
print(report["metrics"], "bit-exact:", report["bit_exact"])

"""
Saved models find your classes if the module that defines them is imported before
`load_model`:
"""

loaded = keras.models.load_model("run/model.keras")
print(type(loaded.pruning).__name__, type(loaded.sharing).__name__)

"""
To bring something into the package itself, see
[contributing](../contributing.md#adding-something): which files it takes, and
which tests run for it. Where everything is: [architecture](../architecture.md).
"""
