"""Choosing by tolerance and bytes

What a task may lose, and what it may cost. You say one of the two;
the package finds the other.
"""

"""
## The one number to think about

`tolerance` is what a task may lose, on your validation data, of what `fit`
reached: 0.01 is one point of an accuracy, or 1 % of the value of a loss. Within
that, `consolidate` leaves out as many weights and stores as few bits as your data
bear. You never have to guess a sparsity.

The two tasks of this guide are real digits: first 0 to 4, then 5 to 9.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 20
TOLERANCES = (0.1, 0.01)
BUDGET = 2000

digits = load_digits()
images, labels = np.float32(digits.images / 16), digits.target
data = tsn_keras.scenarios.ImageData.from_arrays(
    train=(images[:1347], labels[:1347]), test=(images[1347:], labels[1347:])
)
tasks = tsn_keras.scenarios.ClassSplits(
    data, num_tasks=2, flatten=True, validation_split=0.3
)


def learn(tasks, **choices):
    """Learns tasks one after the other, with choices for the model."""
    backbone = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(100, activation="relu")]
    )
    model = tsn_keras.ContinualModel(backbone, seed=0, **choices)
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for task in tasks:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, epochs=EPOCHS, verbose=0)
        model.consolidate(task.validation, verbose=0)
    return model


def show(name, model):
    """Prints the mean accuracy on the test set, and the size of all tasks."""
    accuracy = np.mean(
        [model.evaluate(t.test, task=t.name, verbose=0)[1] for t in tasks]
    )
    size = model.capacity()
    print(
        f"{name}: {accuracy:.1%} in {size.total_bytes:,} bytes, "
        f"{size.fraction:.1%} of one dense network"
    )


"""
## By tolerance

Ten points, where that saves bytes, and one, the default:
"""

for tolerance in TOLERANCES:
    model = learn(tasks, tolerance=tolerance)
    show(f"tolerance {tolerance}", model)

"""
Each task has a report, here that of the last model. It says what was allowed, what was lost, and what was
left out; its warnings name the stage that cost most.
"""

report = model.report(model.tasks[0])
print(f"allowed to lose {report.allowed_loss}, lost {report.loss}")
print(f"left out: {report.sparsity}, bits of a weight: {report.bits}")
print("warnings:", report.warnings)

"""
If the numbers surprise you, look at the validation data first. With 30 examples
one mistake is three points, so a tolerance of one point allows none: *more
validation data make smaller files*.

## By bytes

A device has so many bytes for a task. `budget` is what masks, codes and
codebooks of one task may take; the sparsity of each kernel is found on the way.
Biases, normalization and the head come on top.
"""

model = learn(
    tasks, pruning=tsn_keras.pruning.MagnitudePruning(budget=BUDGET)
)
show(f"{BUDGET} bytes a task", model)

"""
Where the bytes go, by kind, in the whole saved bank:
"""

print(model.capacity().bytes)

"""
## By hand

Everything can also be set. A sparsity of your own, found in the same rounds as
the default's:
"""

model = learn(
    tasks,
    pruning=tsn_keras.pruning.AdaptiveSparsity(sparsity=0.9),
    quantization=tsn_keras.quantization.AdaptiveCodebook(
        min_width=3, max_width=3
    ),
)
show("90 % left out, 3 bits", model)

"""
| if you want | say |
| --- | --- |
| smaller files, and can lose a little | `tolerance=0.03` |
| a size that you know before | `pruning=MagnitudePruning(budget=...)` |
| less time in `consolidate` | `pruning=AdaptiveSparsity(effort=0.5)` |
| pruning while `fit` runs, and little after | `pruning=MagnitudePruning(0.9)` |
| full masks, or float32 values | `pruning=None`, `quantization=None` |

`model.summary()` adds a table to Keras' own: for each task and kernel how much is
left out, the bits, own and shared slots. What the defaults give on nine kinds of
data stands in [the results](../defaults.md).
"""
