"""Which task is it?

A sensor delivers a window, a camera a picture, and nobody says which task they are
of. How a model finds out, what that costs, and when a name should be asked for.
"""

"""
## A model that can tell

Every model can: by default by how sure each task is of its own answer. `inference` says by
what else tasks are told apart. What it needs is learned when a task is consolidated, from
its validation data.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

digits = load_digits()
images, labels = np.float32(digits.images / 16), digits.target
data = tsn_keras.scenarios.ImageData.from_arrays(
    train=(images[:1347], labels[:1347]), test=(images[1347:], labels[1347:])
)
# The same digits with their pixels in four orders, of which three are learned.
scenario = list(
    tsn_keras.scenarios.PermutedPixels(data, num_tasks=4, validation_split=0.2)
)
tasks, unknown = scenario[:3], scenario[3]

backbone = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(128, activation="relu")]
)
model = tsn_keras.ContinualModel(
    backbone, inference=["input_means", "confidence"]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.003),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
for task in tasks:
    model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
    model.fit(task.train, epochs=EPOCHS, verbose=0)
    model.consolidate(task.validation, verbose=0)
print(model.capacity().bytes["inference"], "bytes for three tasks")

"""
## Ask

`tasks` has a name for each example, and `None` where none fits: an example that is less
like its nearest task than all but 5 % of that task's own validation data. `nearest` has a
name always.
"""


def first(task, count=200):
    """Returns test images and labels of a task."""
    return next(iter(task.test.unbatch().batch(count).as_numpy_iterator()))


for task in tasks:
    x, _ = first(task)
    found = model.infer_task(x)
    print(task.name, f"{np.mean(found.nearest == task.name):.0%} found")
x, _ = first(unknown)
new = [name is None for name in model.infer_task(x).tasks]
print(f"of a task that was never learned {np.mean(new):.0%} fit none")

"""
`predict` and `evaluate` take `task="infer"`:
"""

x = np.concatenate([first(task)[0] for task in tasks])
y = np.concatenate([first(task)[1] for task in tasks])
scores, names = model.predict(x, task="infer", return_tasks=True, verbose=0)
print(f"{np.mean(scores.argmax(axis=-1) == y):.1%} of the digits are right")

"""
## A stream

If several examples are known to be of one task, say so: `batch="together"` is right where
single examples are in doubt. `detect_task_change` does it for a stream of batches.
"""

stream = [first(task, 16)[0] for task in (*tasks[:2], tasks[1], unknown)]
for number, name in tsn_keras.inference.detect_task_change(model, stream):
    print(f"from batch {number} on:", name or "something new")

"""
## What to take

| `inference=` | tells apart | takes |
| --- | --- | --- |
| `"confidence"`, the default | tasks of which a network knows its own: how sure each is | a prediction for each task; 16 bytes a task |
| `"input_means"` | inputs that differ as such: other sensors, pixels in other orders, drawings and photographs | no prediction; half a byte for each input, 1,024 at most |
| both, as above | what either does | predictions of the tasks that the inputs do not rule out; with `infer_task(x, max_tasks=3)` three of each example, however many tasks there are |

A model that was learned without it learns it later, and no task changes:
"""

model.inference = tsn_keras.inference.Confidence()
for task in tasks:
    model.learn_inference(task.name, task.validation)
print(f"{np.mean(model.infer_task(first(tasks[0])[0]).nearest == tasks[0].name):.0%}")

"""
## When to ask for a name

Where tasks are other classes of the same kind of picture, only confidence is left, and it
errs often. Then let the user or the program say the task, or ask for several examples of
one task together. The model of a task that is wrong answers all the same: what is not in its
classes becomes one of them. How often the right task is found on your data, the lines
above tell you: do not trust what you have not measured.

## On a device

A bundle takes along what its tasks are told apart by:

```python
tsn_keras.lite.export_bundle(model, "all.tflite")
runner = tsn_keras.lite.TaskRunner("all.tflite")
runner.infer_task(x).nearest       # a name for each example
```

Scores of your own are not in bundles: [`tsn_keras.inference`](../reference/inference.md).
"""
