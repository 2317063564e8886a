"""On a phone

All tasks in one file that is smaller than one network, and runners for it in
Python, Kotlin and C++ that need nothing of tsn_keras.
"""

"""
## Three tasks

Small ones, on real digits of 8x8 pixels: the digits 0 to 4, the digits 5 to 9,
and 0 to 4 lying on their side. One network learns them one after another.
"""

import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images = np.float32(digits.images[order] / 16)
labels = digits.target[order]
is_low = labels < 5
tasks = {
    "low": (images[is_low], labels[is_low]),
    "high": (images[~is_low], labels[~is_low] - 5),
    "lying": (np.rot90(images[is_low], axes=(1, 2)), labels[is_low]),
}
class_names = {
    "low": ["zero", "one", "two", "three", "four"],
    "high": ["five", "six", "seven", "eight", "nine"],
}

model = tsn_keras.ContinualModel(
    keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(128, activation="relu"),
        ]
    ),
    seed=0,
)
model.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
test = {}
for name, (x, y) in tasks.items():
    validation = x[500:700], y[500:700]
    test[name] = x[700:], y[700:]
    model.add_task(name, head=keras.layers.Dense(5))
    model.fit(x[:500], y[:500], epochs=EPOCHS, verbose=0)
    model.consolidate(validation, verbose=0)

"""
## One file for all of them

A bundle stores the weights as the model does: a few bits each, those that tasks
share once. It is made for one example at a time; `batch_size=None` makes one
for any number. Before the file appears under its name, every task is run and
compared with the Keras model.
"""

folder = pathlib.Path("phone")
folder.mkdir(exist_ok=True)
report = tsn_keras.lite.export_bundle(
    model,
    folder / "all_tasks.tflite",
    class_names=class_names,
    verification_data=test,
)
dense = tsn_keras.lite.export_dense(model, folder / "dense.tflite")
print(f"one dense network: {dense.stat().st_size:,} bytes")
print(f"bundle of {len(report.tasks)} tasks: {report.bytes:,} bytes")

"""
Some kilobytes of it are operators, which every file has; a task adds little.
Figures for larger networks, and for fifty tasks, are in [files for
devices](../lite.md#figures).

## In Python on the device

`copy_runner` puts one Python file beside the bundle. It needs `ai-edge-litert`
and `numpy`, which a Raspberry Pi or a Linux phone gets by `pip install
ai-edge-litert numpy`, and nothing else: no TensorFlow, no Keras, no tsn_keras.
"""

tsn_keras.lite.copy_runner(folder)
print(sorted(path.name for path in folder.iterdir()))

"""
Copy the folder to the device. There, `from runner import TaskRunner`. Here it
is the same class, so we can try it:
"""

from tsn_keras.lite import TaskRunner

runner = TaskRunner(folder / "all_tasks.tflite", num_threads=1)
print(runner.tasks)

runner.select("high")
x, y = test["high"]
scores = runner.predict(x[:3])
for row, label in zip(scores, y[:3]):
    print(runner.labels[row.argmax()], "is", runner.labels[label])

"""
`select` puts the task's network out, as a plain `.tflite` file in memory, which
takes a few milliseconds for a million weights; after that, predictions are as
fast as those of any file. The runner keeps networks that were selected before,
up to 64 MiB.

A program of many threads names the task in each call, and shares one runner:
"""

for name, (x, y) in test.items():
    answers = runner.predict(x, task=name).argmax(axis=-1)
    print(f"{name}: {np.mean(answers == y):.1%} of the test images")

"""
What goes wrong says what is there:
"""

try:
    runner.select("upside down")
except ValueError as error:
    print(error)

"""
## Android

`examples/device/Runner.kt` has the same class in seventy lines of Kotlin. Add
to the app's `build.gradle.kts`:

```kotlin
android { androidResources { noCompress += "tflite" } }
dependencies { implementation("com.google.ai.edge.litert:litert:1.+") }
```

Put the bundle into `src/main/assets`, and:

```kotlin
val bundle = File(filesDir, "all_tasks.tflite")
assets.open(bundle.name).use { from ->
    bundle.outputStream().use { from.copyTo(it) }
}

val runner = TaskRunner(bundle)
runner.select("high")
val scores = runner.predict(pixels)               // FloatArray of 64 pixels
val best = scores.indices.maxByOrNull { scores[it] }!!
show(runner.labels?.get(best) ?: "$best")
```

One runner belongs to one thread. Give every thread its own, or let one executor
make all calls. The network that `select` puts out is an ordinary file: hand
`Interpreter.Options` a delegate to run it on the GPU or NPU.

## iOS, and anything in C++

`examples/device/runner.cc` has it in C++, with LiteRT's `CompiledModel`. On
iOS, add LiteRT to the app, and call the class from an Objective-C++ file:

```cpp
NSString* path = [NSBundle.mainBundle pathForResource:@"all_tasks"
                                               ofType:@"tflite"];
TaskRunner runner(path.UTF8String);
runner.Select("high");
std::vector<float> scores = runner.Predict(pixels);
```

Which of these were compiled and run, and with what, says
`examples/device/README.md`. Nothing was run on a real phone.

## One task in a file

Where a device has one task only, or delegates must know the network when the
app is built, give it the task's own file. The runner takes that too; there is
nothing to select.
"""

exported = model.export(
    folder / "high.tflite",
    format="litert",
    task="high",
    precision="int8",
    representative_data=tasks["high"][0][:256],
    verification_data=test["high"],
)
single = TaskRunner(folder / "high.tflite")
x, y = test["high"]
accuracy = np.mean(single.predict(x).argmax(axis=-1) == y)
print(f"{single.tasks}: {exported.bytes:,} bytes, {accuracy:.1%}")

"""
Inputs and outputs of an `int8` file are int8. The Python runner converts: it
takes and gives floats. What to choose for which processor is in [files for
devices](../lite.md#task-files).
"""
