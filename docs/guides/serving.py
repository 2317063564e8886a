"""Serving many tasks

One model answers for all its tasks, from any number of threads,
also while it learns the next one.
"""

"""
## A model with two tasks
"""

import concurrent.futures

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15
REQUESTS = 40

digits = load_digits()
images, labels = np.float32(digits.data / 16), digits.target

model = tsn_keras.ContinualModel(
    keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(100, activation="relu")]
    ),
    seed=0,
)
model.compile(
    "adam",
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
targets = {"digit": labels, "even": labels % 2}
for name, y in targets.items():
    model.add_task(name, head=keras.layers.Dense(int(y.max()) + 1))
    model.fit(images[:1000], y[:1000], epochs=EPOCHS, verbose=0)
    model.consolidate((images[1000:1400], y[1000:1400]), verbose=0)
model.save("model.keras")

"""
The file holds the architecture and all tasks as they are stored: codes, masks and
codebooks, no dense network.

## Load it, and ask

`model.task(name)` is a read-only view of one task with values of its own. Make it
once, keep it, and call it from wherever requests come in.
"""

served = keras.models.load_model("model.keras")
views = {name: served.task(name) for name in served.tasks}
x = images[1400:]
print(views["digit"](x[:1]).shape, views["even"](x[:1]).shape)

"""
Calling a view is what to do for single requests: it runs one traced function.
`view.predict` is for large arrays, in batches.

## From many threads
"""


def answer(number):
    """Answers one request; which task it is for is a part of it."""
    name = "digit" if number % 2 else "even"
    logits = np.asarray(views[name](x[number : number + 1]))
    return name, number, int(logits.argmax())


with concurrent.futures.ThreadPoolExecutor(8) as threads:
    answers = list(threads.map(answer, range(REQUESTS)))
right = [
    int(targets[name][1400 + number]) == found for name, number, found in answers
]
print(f"{np.mean(right):.0%} of {len(answers)} answers are right")

"""
## While the next task is learned

What an earlier task answers does not depend on what happens to the model: the
answers below are equal to the bit. Calls that *change* the model (`fit`,
`consolidate`, `add_task`, ...) exclude each other: a second one from another thread
is a `RuntimeError` that names the first.
"""

before = np.asarray(views["digit"](x))
with concurrent.futures.ThreadPoolExecutor(1) as trainer:
    served.add_task("large", head=keras.layers.Dense(2))
    y = np.int32(labels > 4)
    training = trainer.submit(
        served.fit, images[:1000], y[:1000], epochs=EPOCHS, verbose=0
    )
    while not training.done():
        assert (np.asarray(views["digit"](x)) == before).all()
served.consolidate((images[1000:1400], y[1000:1400]), verbose=0)
assert (np.asarray(views["digit"](x)) == before).all()
print(served.tasks)

"""
## When a task has to go

`remove_task` forgets a task: its bytes are gone from memory and from the next file, and
all other tasks keep every bit. [What stays](../reliability.md#forgetting-a-task) are
slots that others share, files that were saved before, and the values of views that you
hold.
"""

served.remove_task("large")
assert (np.asarray(views["digit"](x)) == before).all()
print(served.tasks)

"""
## Which task is it?

A request says which task it is for; where nobody knows, a model can
[find out](which_task.md). A name that it does not know is a `ValueError` that lists the
known ones:
"""

try:
    served.predict(x, task="odd", verbose=0)
except ValueError as error:
    print(error)

"""
## Without Keras

Each task can leave as a file that LiteRT runs alone, and all of them as one
bundle: [files for devices](../lite.md).
"""

served.export("digit.tflite", format="litert", task="digit")
logits = tsn_keras.lite.run_file("digit.tflite", x)
print((logits.argmax(axis=-1) == labels[1400:]).mean())

"""
For TensorFlow Serving, the default format of `export` writes a `SavedModel` of
one task.
"""

served.export("digit", task="digit", verbose=False)

"""
| you want | take |
| --- | --- |
| answers in Python, while the model goes on learning | `model.task(name)` |
| large arrays in batches | `model.predict(x, task=name)` |
| a server without Keras | task files or a bundle, with LiteRT |
| TensorFlow Serving | `model.export(folder, task=name)`, a folder a task |
"""
