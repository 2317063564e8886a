"""On a microcontroller

Several tasks in one int8 file whose weights TFLite for Microcontrollers decodes,
as C++ source, run by its own interpreter before it goes to the device.
"""

"""
## Two tasks

Small networks for sensors or images of few pixels. Here it is real digits of 8x8
pixels, in two tasks of five classes, and a small convolutional network.
"""

import importlib.util

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

digits = load_digits()
images, labels = np.float32(digits.images / 16)[..., None], digits.target
data = {}
for name, first in (("low", 0), ("high", 5)):
    chosen = (labels >= first) & (labels < first + 5)
    data[name] = images[chosen], labels[chosen] - first

model = tsn_keras.ContinualModel(
    keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
        ]
    ),
    seed=0,
)
model.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
for name, (x, y) in data.items():
    model.add_task(name, head=keras.layers.Dense(5))
    model.fit(x[:500], y[:500], epochs=EPOCHS, verbose=0)
    model.consolidate((x[500:700], y[500:700]), verbose=0)

"""
## All tasks in one file

Microcontrollers want all numbers in int8. The ranges of the activations are taken
from `representative_data`: a few hundred inputs of each task. `verification_data` with
labels make the comparison with Keras one of accuracies.

The file has two inputs: the number of a task, and one example. Zeros cost a bit
each, other weights a byte; tensors of few different values become look-up tables of
1 to 7 bits. Before each layer an operator, `TFLM_DECODE`, decodes its weights, and
they are gone when the layer is done.
"""

report = tsn_keras.lite.export_micro_bundle(
    model,
    "tasks.tflite",
    representative_data={name: x[500:700] for name, (x, _) in data.items()},
    verification_data={
        name: (x[700:], y[700:]) for name, (x, y) in data.items()
    },
)
print(report)
print(report.figures)

"""
`flash_bytes` is what goes into the firmware: the file without what it says of its
tasks. `arena_bytes` is the smallest memory that it ran in, and `largest_layer`
the part of it that the largest decoded layer takes.

Memory is measured if the interpreter of TFLite for Microcontrollers is installed:
`pip install "tsn_keras[micro]"`. Then each task was run by it too, and every output was
equal to that of the task's plain int8 file, to the bit. A file that answers anything
else is not written. Without, LiteRT has run the plain int8 file of each task, and
`arena_bytes` is `None`.
"""

if importlib.util.find_spec("tflite_micro"):
    runner = tsn_keras.lite.MicroRunner("tasks.tflite")
    x, y = data["high"]
    guesses = runner.predict(x[700:], task="high").argmax(axis=-1)
    print(f"accuracy {np.mean(guesses == y[700:]):.1%}")

"""
## As C++ source
"""

source, header, main = tsn_keras.lite.export_c_array("tasks.tflite")
print(open(header).read())
print(open(main).read())

"""
The header has all that firmware needs: the array, the size of the arena, the names,
scales and numbers of classes of the tasks, and the operators to register. `main` is
a program that predicts with each task. Replace its `Example` by your sensor.

## What fits

Say a board has 256 KB of flash and 64 KB of RAM.

**Flash** is, for each task and each kernel of `n` weights of which a part `k` is kept,
`n / 8 + k * n` bytes, and 8 bytes for each unit, for its scale and its bias. Ten tasks of
784-100-100-10 at 4 % and 11 % take 173 KB, half of ONE dense float32
network. TFLite for Microcontrollers and its kernels come on top: 130 KB for these operators
on a PC, compiled for speed. A board's compiler, told to save bytes, makes less of it.

**RAM** is the largest layer in int8, the activations around it, and some KB for each
task: ten tasks took 42 KB for the layer and 44 KB for the rest, two tasks 52 KB, one task 47 KB,
on a machine of 64 bits. Pointers of 32 bits take half of that of 64, so a board needs
less; measure it there with `arena_used_bytes()`, which the program prints.

So choose the network by its largest kernel:

- A dense layer behind the input or behind `Flatten` is the largest as a rule. Fewer
  units there, and another layer behind, cost little accuracy. Inputs that no unit of a
  task reads, such as the border of digits, are left out by themselves: of 784 pixels
  about 440 remained.
- Convolutions have small kernels and large activations: pool early, and use
  depthwise convolutions.
- `max_arena=` refuses a network that does not fit, with the name of its largest layer:
"""

try:
    tsn_keras.lite.export_micro_bundle(
        model,
        "small.tflite",
        representative_data={n: x[500:700] for n, (x, _) in data.items()},
        max_arena=500,
    )
except tsn_keras.lite.ExportError as error:
    print(error)

"""
## What is slower, and by how much

Layers are decoded at every prediction. On a PC a prediction of one of the ten tasks of
784-100-100-10 took 0.09 ms with plain weights and with look-up tables, and 0.11 ms with
bitmaps. A processor without caches or vectors may differ more: decoding visits each weight
once, as the layer itself does. Where time counts more than flash, leave weights as they are,
`forms=["plain"]`: that took five times the flash, and half of the RAM, since nothing is
decoded.

## One task

`export` writes one task in the same form, and reports the same figures.
"""

x, y = data["low"]
report = model.export(
    "low.tflite",
    format="litert",
    task="low",
    precision="int8",
    compression="micro",
    representative_data=x[500:700],
    verification_data=(x[700:], y[700:]),
)
print(report, report.micro)

"""
Not every layer has int8 kernels there. Convolutions, dense layers, pooling and
ReLU do; loops of recurrent layers need `unroll=True`. A layer that has none is named in the
error. More in [files for devices](../lite.md#microcontrollers).
"""
