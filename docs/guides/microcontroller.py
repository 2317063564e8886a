"""On a microcontroller

One task as int8 C++ source that TFLite for Microcontrollers runs,
checked on this machine before it goes to the device.
"""

"""
## A task

Small networks for sensors or images of few pixels. Here it is real digits of 8x8
pixels and a small convolutional network.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tsn_keras

EPOCHS = 15

digits = load_digits()
images, labels = np.float32(digits.images / 16)[..., None], digits.target

model = tsn_keras.ContinualModel(
    keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
        ]
    ),
    seed=0,
)
model.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.add_task("digits", head=keras.layers.Dense(10))
model.fit(images[:1000], labels[:1000], epochs=EPOCHS, verbose=0)
model.consolidate((images[1000:1400], labels[1000:1400]), verbose=0)

"""
## Export in int8

Microcontrollers want all numbers in int8. The ranges of the activations are taken
from `representative_data`: a few hundred inputs of the task. The file is run, with
LiteRT, and compared with the Keras model before it appears under its name;
`verification_data` with labels make the comparison one of accuracies.
"""

report = model.export(
    "digits.tflite",
    format="litert",
    task="digits",
    precision="int8",
    compression="none",
    representative_data=images[:256],
    verification_data=(images[1400:], labels[1400:]),
)
print(f"{report.bytes:,} bytes, accuracy {report.agreement.accuracy:.1%}")

"""
Units whose weights were all left out are gone from the file, so it is smaller
than the network that you trained.

## Which operators the firmware needs

The firmware registers each operator that the file uses. `check_microcontroller`
lists them, and refuses a file that the reference kernels cannot run, with the
operator's name.
"""

with open("digits.tflite", "rb") as file:
    content = file.read()
for name, version in tsn_keras.lite.check_microcontroller(content):
    print(name, "version", version)

"""
## As C++ source
"""

source, header = tsn_keras.lite.export_c_array("digits.tflite")
print(open(header).read())

"""
On the device, with the operators of the list above:

```cpp
#include "digits.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

alignas(16) static uint8_t arena[16 * 1024];

const tflite::Model* model = tflite::GetModel(g_digits);
static tflite::MicroMutableOpResolver<5> operators;
operators.AddConv2D();  // and the others of the list
static tflite::MicroInterpreter interpreter(
    model, operators, arena, sizeof(arena));
interpreter.AllocateTensors();

TfLiteTensor* input = interpreter.input(0);
for (int i = 0; i < 64; ++i) {
  input->data.int8[i] = static_cast<int8_t>(
      roundf(pixels[i] / input->params.scale) + input->params.zero_point);
}
interpreter.Invoke();
// The largest of the ten values of interpreter.output(0)->data.int8 is the answer.
```

This C++ was not compiled by our tests, for lack of the firmware's headers; the file
itself is what they run.

## Several tasks

Each task is a file and an array of its own. A bundle of all tasks does not run on a
microcontroller: it needs room for a whole network in memory.

Not every layer has int8 kernels there. Convolutions, dense layers, pooling and
ReLU do; loops of recurrent layers need `unroll=True`. More in
[files for devices](../lite.md#microcontrollers).
"""
