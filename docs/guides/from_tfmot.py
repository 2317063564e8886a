"""Coming from TF Model Optimization

You prune with `prune_low_magnitude` and cluster with `cluster_weights`. Here is
what each step becomes, and what you need no longer.
"""

"""
## Side by side

| with TF Model Optimization | here |
| --- | --- |
| `prune_low_magnitude(model, pruning_schedule=s)` | `ContinualModel(backbone, pruning=MagnitudePruning(schedule=s))` |
| `ConstantSparsity`, `PolynomialDecay` with steps | the same objects; or a sparsity alone; or nothing, and it is found |
| `callbacks=[UpdatePruningStep()]` | none: the model counts its steps |
| `strip_pruning(model)` | none: `consolidate` ends the task |
| `cluster_weights(model, number_of_clusters=16)` | `quantization=AdaptiveCodebook(min_width=4, max_width=4)`; by default as few bits as the data bear |
| a second training after clustering | a part of `consolidate` |
| `TFLiteConverter`, then gzip to see the gain | `model.export("a.tflite", format="litert")`: the file itself is small |
| Keras 2 (`tf_keras`) models | Keras 3 models |
| one model, one task | as many tasks as fit, none of which changes another |

TF Model Optimization wraps single Keras 2 layers and needs their names. Here any
Keras 3 layer or model is wrapped as a whole, also subclassed ones. Its *schedules*
are used as they are.
"""

import keras
import numpy as np
import tensorflow_model_optimization as tfmot
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15
BATCH = 32

digits = load_digits()
images, labels = np.float32(digits.data / 16), digits.target
train, validation, test = slice(1000), slice(1000, 1400), slice(1400, None)
steps = EPOCHS * -(-1000 // BATCH)

"""
## The same schedule
"""

schedule = tfmot.sparsity.keras.PolynomialDecay(
    initial_sparsity=0.3,
    final_sparsity=0.8,
    begin_step=steps // 5,
    end_step=steps * 4 // 5,
    frequency=10,
)
backbone = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(100, activation="relu"),
        keras.layers.Dense(100, activation="relu"),
    ]
)
model = tsn_keras.ContinualModel(
    backbone,
    pruning=tsn_keras.pruning.MagnitudePruning(schedule=schedule, frequency=10),
    quantization=tsn_keras.quantization.AdaptiveCodebook(
        min_width=4, max_width=4
    ),
    seed=0,
)
model.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)

"""
The network's last layer is the task's head: it is given to `add_task`, and is not
pruned.
"""

model.add_task("digits", head=keras.layers.Dense(10))
model.fit(
    images[train], labels[train], epochs=EPOCHS, batch_size=BATCH, verbose=0
)
report = model.consolidate((images[validation], labels[validation]), verbose=0)
print(f"before {report.quality_before:.1%}, after {report.quality_after:.1%}")
print("left out:", report.sparsity)
print("bits:", report.bits)

"""
`consolidate` prunes on where that costs nothing, clusters, fine-tunes the centroids,
and validates what is stored. Nothing is stripped, and no second training loop is
yours to write.

## The file
"""

path = "digits.tflite"
file = model.export(path, format="litert", task="digits")
dense = tsn_keras.lite.export_dense(model, "dense.tflite")
accuracy = model.evaluate(images[test], labels[test], verbose=0)[1]
size = dense.stat().st_size
print(f"{file.bytes:,} bytes, dense {size:,}; accuracy {accuracy:.1%}")

"""
## Then the next task

That is what it is for: the same network learns another task, and the first one's
answers stay as they are, to the bit. A schedule counts the steps of each task anew.
"""

before = model.predict(images[test], task="digits", verbose=0)
model.add_task("even", head=keras.layers.Dense(2))
model.fit(
    images[train],
    labels[train] % 2,
    epochs=EPOCHS,
    batch_size=BATCH,
    verbose=0,
)
model.consolidate((images[validation], labels[validation] % 2), verbose=0)
after = model.predict(images[test], task="digits", verbose=0)
assert (before == after).all()
print(f"both tasks: {model.capacity().fraction:.1%} of one dense network")

"""
What has no counterpart: structured (block and N:M) sparsity, and quantization-aware
training. Files in int8 come from calibration: [on a
microcontroller](microcontroller.md).
"""
