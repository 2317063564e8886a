"""From pretrained weights

Three ways to begin with weights that were learned elsewhere, and
when to take which.
"""

"""
## Something pretrained

Any Keras model will do: `keras.applications` with `weights=PATH`, `load_model`,
`load_weights`. So that this guide downloads nothing, a small network learns the
digits 0 to 5 here, as plain Keras does.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

digits = load_digits()
images, labels = np.float32(digits.images / 16)[..., None], digits.target


def only(classes):
    """Returns images and labels of some classes, counted from 0."""
    chosen = np.isin(labels, classes)
    return images[chosen], np.searchsorted(classes, labels[chosen])


loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
features = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
    ]
)
pretrained = keras.Sequential([features, keras.layers.Dense(6)])
pretrained.compile("adam", loss, metrics=["accuracy"])
pretrained.fit(*only([0, 1, 2, 3, 4, 5]), epochs=EPOCHS, verbose=0)
features.save_weights("pretrained.weights.h5")

"""
New tasks: 6 or 7, and 8 or 9. The first 80 examples of each are for training.
"""

new_tasks = {"six or seven": only([6, 7]), "eight or nine": only([8, 9])}


def backbone():
    """Returns the pretrained features, anew each time."""
    copy = keras.models.clone_model(features)
    copy.load_weights("pretrained.weights.h5")
    return copy


def learn(model, name, x, y):
    """Learns a task from its first 80 examples; prints how well."""
    model.add_task(name, head=keras.layers.Dense(2))
    model.fit(x[:80], y[:80], epochs=EPOCHS, verbose=0)
    model.consolidate((x[80:180], y[80:180]), verbose=0)
    accuracy = model.evaluate(x[180:], y[180:], task=name, verbose=0)[1]
    print(f"{name}: {accuracy:.1%}, {model.capacity().fraction:.1%} in all")


"""
## 1. Trainable: the first task trains on

Nothing special: give the model the backbone as it is. The first task begins with
the pretrained weights and keeps what it needs of them. Later tasks share that if
they are similar, and begin anew if they are not.

*Take it when the first task is what the weights are for, or close to it.*
"""

model = tsn_keras.ContinualModel(backbone(), seed=0)
model.compile("adam", loss, metrics=["accuracy"])
for name, (x, y) in new_tasks.items():
    learn(model, name, x, y)

"""
## 2. As a task of their own

The pretrained weights become the first task as they are: `epochs=0` trains
nothing, and `consolidate` prunes and quantizes. The sparsity must be one that the
network bears without training. All later tasks then read them, and add own
weights on top.

*Take it when the old task is to be kept too, or when bytes count.*
"""

model = tsn_keras.ContinualModel(
    backbone(),
    pruning=tsn_keras.pruning.MagnitudePruning(0.3),
    sharing="always",
    seed=0,
)
model.compile("adam", loss, metrics=["accuracy"])
x, y = only([0, 1, 2, 3, 4, 5])
head = keras.layers.Dense(6)
head.build((None, 32))
head.set_weights(pretrained.layers[-1].get_weights())
model.add_task("pretrained", head=head)
model.fit(x, y, epochs=0, verbose=0)
report = model.consolidate((x[:300], y[:300]), verbose=0)
print(f"before {report.quality_before:.1%}, after {report.quality_after:.1%}")
for name, (x, y) in new_tasks.items():
    learn(model, name, x, y)

"""
A head that is built already keeps its values, as here; one that is not starts
fresh.

## 3. As a frozen base

`trainable = False` *before* the model is made: the layers are stored once, in
float32, and are the same for all tasks. Tasks learn what comes after.

*Take it when the features are good enough as they are, and one dense copy fits.*
"""

base = backbone()
base.trainable = False
model = tsn_keras.ContinualModel(
    keras.Sequential([base, keras.layers.Dense(32, activation="relu")]), seed=0
)
model.compile("adam", loss, metrics=["accuracy"])
for name, (x, y) in new_tasks.items():
    learn(model, name, x, y)
print(model.capacity().bytes)

"""
`base` are the bytes of the frozen layers. Networks of `keras.applications` have
batch normalization whose momentum is for thousands of steps; for short trainings
lower it to 0.8. More about frozen parts, preprocessing layers and which weights
are pruned: [which models](../compatibility.md).
"""
