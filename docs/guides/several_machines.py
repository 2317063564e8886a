"""On several devices and machines

`tf.distribute` trains one task on several devices or machines. Masks, bank
and bits are the same on all of them.
"""

"""
## Several devices of one machine

This machine may have one processor only; TensorFlow can make two devices of it,
which is enough to try.
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

"""
On a machine with GPUs that is `tf.distribute.MirroredStrategy()`, and nothing else.
Make and compile the model in the strategy's scope; all else goes as without it.
"""

with strategy.scope():
    model = tsn_keras.ContinualModel(
        keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(100, activation="relu")]
        ),
        seed=0,
    )
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

"""
Batches are of the global size: each device gets its part of them.
"""

digits = load_digits()
images, labels = np.float32(digits.data / 16), digits.target


def batches(part, y):
    """Returns a part of the data in batches for both devices together."""
    return tf.data.Dataset.from_tensor_slices((images[part], y[part])).batch(64)


train, validation, test = slice(1000), slice(1000, 1400), slice(1400, None)
for name, y in {"digit": labels, "even": labels % 2}.items():
    model.add_task(name, head=keras.layers.Dense(int(y.max()) + 1))
    model.fit(batches(train, y), epochs=EPOCHS, verbose=0)
    model.consolidate(batches(validation, y), verbose=0)
    accuracy = model.evaluate(batches(test, y), task=name, verbose=0)[1]
    print(f"{name}: {accuracy:.1%}")
model.save("model.keras")

"""
## Several machines

Start the same program once on every machine. `TF_CONFIG` tells each process where
all of them are, and which one it is:

```bash
TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
            "task": {"type": "worker", "index": 0}}' python train.py
```

with `"index": 1` on the second machine. The program makes its strategy before
anything else of TensorFlow is used,

```python
strategy = tf.distribute.MultiWorkerMirroredStrategy()
```

and goes on as above. What is different:

- `fit` shards datasets and arrays by itself: give every worker all of the data, in
  batches of the global size. Shuffle with the same seed on all, or make the
  model with a `seed` for arrays.
- `consolidate` evaluates all validation data on every worker.
- Every worker calls `save`, each with a path of its own; the files hold the same bank.

What was tried, and what was not (GPUs, more than two workers):
[beyond one device](../distribution.md).
"""
