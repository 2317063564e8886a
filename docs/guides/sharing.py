"""Sharing between tasks

Similar tasks can use weights that earlier ones learned, at no cost in bytes.
When the model does that by itself, how to see it, and how to say it yourself.
"""

"""
## Two kinds of tasks

Two tasks are alike: digits as they are, and turned by 10 degrees. The third shows
them with their pixels shuffled: for a network that is another world.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 20

digits = load_digits()
images, labels = np.float32(digits.images / 16), digits.target
data = tsn_keras.scenarios.ImageData.from_arrays(
    train=(images[:1347], labels[:1347]), test=(images[1347:], labels[1347:])
)
turned = tsn_keras.scenarios.RotatedImages(
    data, angles=(0, 10), flatten=True, validation_split=0.2
)
shuffled = tsn_keras.scenarios.PermutedPixels(
    data, num_tasks=2, validation_split=0.2
)
tasks = [*turned, shuffled[1]]


def learn(tasks, **choices):
    """Learns tasks one after the other, with choices for the model."""
    backbone = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(128, activation="relu"),
        ]
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


def show(model):
    """Prints a line for each task, and the size of all of them."""
    for task in tasks:
        report = model.report(task.name)
        accuracy = model.evaluate(task.test, task=task.name, verbose=0)[1]
        print(
            f"{task.name}: {accuracy:.1%}, own weights "
            f"{sum(report.own.values())}, shared "
            f"{sum(report.shared.values())}; {report.sharing}"
        )
    print(f"all: {model.capacity().fraction:.1%} of one dense network")


"""
## By itself

The default strategy, `ActivationSimilarity`, runs a sample of the new task's data
through each earlier task before training begins. Where a layer's activations are
distributed alike, the tasks are alike. In doubt, a short training with and without
sharing decides. `report.sharing` says what was chosen and why.
"""

show(learn(tasks))

"""
A task that shares *reads* the earlier task's weights and adds own ones. It can
never change them: the earlier task answers as before, to the bit.

With so few images a trial can go either way, and from run to run; the line above has
the loss of both. It is there so that sharing never costs accuracy for bytes. With ten
tasks of turned MNIST, sharing halves the bytes: [results](../results.md).

## Never

Every task for itself. That is what to compare with, and what to take if tasks are
known to be unrelated: the comparison and its time are saved.
"""

show(learn(tasks, sharing="never"))

"""
## Always

You know that tasks build on each other. `depth` says which part of the kernels is
shared, from the first on: half of them means general features in common, and own
weights for what is made of them.
"""

show(learn(tasks, sharing=tsn_keras.sharing.Always(depth=0.5)))

"""
## Start warm

`WarmStart` shares no slot. A task begins with the values of its nearest task and
then goes its own way. On ten tasks of CIFAR-100 that was the most accurate: see
[results](../results.md).
"""

show(learn(tasks, sharing="warm_start"))

"""
| what you know of your tasks | `sharing=` |
| --- | --- |
| nothing | leave it out |
| unrelated | `"never"` |
| each builds on the one before | `Always()`, or `Always(depth=0.5)` |
| of one kind, with own details | `WarmStart()` |
| which earlier task is near | [a strategy of your own](extending.md), in ten lines |
"""
