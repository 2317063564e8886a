"""Your own data

From folders of images to one file with all tasks: a scenario in three lines,
a network that learns its tasks one after another, answers by name.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

import tsn_keras

FOLDER = "images"
IMAGES = 60
EPOCHS = 20
SIZE = 48

"""
## A folder of images

Your images lie in a folder for each task, with a folder for each class in it:

```
images/
    patterns/
        checks/  cross/  dots/  ring/  triangle/
    shapes/
        circle/  square/
    ...
```

If you have some, go on with the next section. Otherwise here are four tasks
with 2, 3, 5 and 5 classes, drawn with NumPy: of many sizes, grey and in colour,
with a file that is no image among them.
"""

COLOURS = {"blue": (0, 0, 1), "green": (0, 1, 0), "red": (1, 0, 0)}
COLOURS |= {"violet": (0.7, 0, 0.8), "yellow": (1, 1, 0)}
FIGURES = {
    "circle": lambda x, y: np.hypot(x, y) < 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 1,
    "horizontal": lambda x, y: np.sin(9 * y) > 0,
    "vertical": lambda x, y: np.sin(9 * x) > 0,
    "diagonal": lambda x, y: np.sin(6 * (x + y)) > 0,
    "checks": lambda x, y: np.sin(6 * x) * np.sin(6 * y) > 0,
    "cross": lambda x, y: np.minimum(abs(x), abs(y)) < 0.3,
    "dots": lambda x, y: np.cos(9 * x) + np.cos(9 * y) > 0.8,
    "ring": lambda x, y: abs(np.hypot(x, y) - 0.8) < 0.2,
    "triangle": lambda x, y: (y < 0.8) & (y > 2 * abs(x) - 0.8),
}
TASKS = {
    "colours": list(COLOURS),
    "patterns": ["checks", "cross", "dots", "ring", "triangle"],
    "shapes": ["circle", "square"],
    "stripes": ["diagonal", "horizontal", "vertical"],
}


def draw(kind, random):
    """Returns an image of any size, in colour or, now and then, grey."""
    height, width = random.integers(40, 90, 2)
    rows, columns = np.mgrid[:height, :width]
    radius = random.uniform(0.25, 0.4) * min(height, width)
    y = (rows - height * random.uniform(0.4, 0.6)) / radius
    x = (columns - width * random.uniform(0.4, 0.6)) / radius
    inside = FIGURES.get(kind, FIGURES["circle"])(x, y)
    light = COLOURS.get(kind, random.uniform(0.6, 1.0, 3))
    dark = random.uniform(0.0, 0.3, 3)
    image = np.where(inside[..., None], light, dark)
    image += random.normal(0.0, 0.05, image.shape)
    if kind not in COLOURS and random.random() < 0.5:
        image = image.mean(axis=-1, keepdims=True)
    return np.uint8(255 * np.clip(image, 0, 1))


random = np.random.default_rng(0)
for task, kinds in TASKS.items():
    for kind in kinds:
        folder = pathlib.Path(FOLDER, task, kind)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(IMAGES):
            content = tf.io.encode_png(draw(kind, random)).numpy()
            (folder / f"{number}.png").write_bytes(content)
pathlib.Path(FOLDER, "shapes", "circle", "notes.txt").write_text("drawn")

"""
## A scenario in three lines

A scenario is a sequence of tasks. `from_image_folders` reads every file once,
leaves out what is no image, and says so; brings all images to one size and
number of channels; and splits each task into images to train, to validate and
to test, so many of each class, always the same ones for a seed.
"""

scenario = tsn_keras.scenarios.from_image_folders(
    FOLDER, image_size=(SIZE, SIZE), batch_size=16
)
print(scenario)
print(scenario.skipped)

"""
Choose `image_size` once: a network has one size of inputs, and tasks that come
later must have it too. `color_mode="auto"`, the default, is grey only if no
image is in colour; if tasks in colour may follow, say `color_mode="rgb"`.

If you have split the images yourself, put folders between task and class:
`images/shapes/train/circle/`, and `validation` (or `val`) and `test` beside
`train`. Folders that lie elsewhere, one for each task as
`keras.utils.image_dataset_from_directory` takes them, are given by name:
`from_image_folders({"shapes": "some/folder", "stripes": "another"})`.

## A network that learns them one after another

The backbone is any Keras network without its last layer. Each task gets a head
of its own, as wide as it has classes.
"""

keras.utils.set_random_seed(0)
backbone = keras.Sequential(
    [
        keras.Input(scenario.input_shape),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
        keras.layers.GlobalMaxPooling2D(),
    ]
)
model = tsn_keras.ContinualModel(backbone, seed=0)
model.compile(
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
for task in scenario:
    model.add_task(
        task.name,
        head=keras.layers.Dense(task.num_classes),
        class_names=task.class_names,
    )
    model.fit(task.train, epochs=EPOCHS, verbose=0)
    model.consolidate(task.validation, verbose=0)
    print(f"{task.name}: {model.capacity().fraction:.1%} of a dense network")

"""
`fit` trains as Keras does. `consolidate` then finds how few weights and bits
keep the accuracy on the validation images, and stores them. Earlier tasks
answer as before, to the bit, whatever is learned later:
"""

for task in scenario:
    results = model.evaluate(
        task.test, task=task.name, return_dict=True, verbose=0
    )
    print(f"{task.name}: {results['accuracy']:.1%} of the test images")

"""
## Answers by name

`read_image` brings a new image to what the tasks take. The request says which
task it is for.
"""

image = scenario.read_image(f"{FOLDER}/patterns/ring/0.png")
logits = model.predict(image, task="patterns", verbose=0)
names = scenario[1].class_names
print(names[logits[0].argmax()])

"""
## One file for the device

A bundle holds all tasks, their heads of different widths and the names of their
classes.
"""

tsn_keras.lite.export_bundle(model, "all_tasks.tflite")
size = pathlib.Path("all_tasks.tflite").stat().st_size
dense = model.capacity().dense_bytes
print(f"{size:,} bytes for four tasks; one dense network has {dense:,}")

runner = tsn_keras.lite.TaskRunner("all_tasks.tflite")
runner.select("patterns")
print(names[runner.predict(image)[0].argmax()])

"""
## What is not in folders

`from_datasets` takes arrays, `tf.data.Dataset` and `keras.utils.PyDataset`: for
each task a pair `(train, validation)`, or three with `test`; or arrays `(x, y)`
alone, which it splits. Values are given on as they are, so scale them yourself.
Labels are numbered from 0 in every task.
"""

x = random.normal(size=(300, 4)).astype("float32")
sensors = tsn_keras.scenarios.from_datasets(
    {
        "sign": (x, np.int64(x[:, 0] > 0)),
        "largest": (x, x.argmax(axis=-1)),
    },
    class_names={"sign": ["negative", "positive"]},
)
for task in sensors:
    print(task.name, task.num_classes, task.class_names, task.input_shape)

"""
Data sets of TensorFlow Datasets come by their names. Images are brought to one
size and number of channels; text, tables and other labels by a function of
yours. What is not on your machine is fetched with `download=True`, or as the
error says.

```python
scenario = tsn_keras.scenarios.from_tfds(["mnist", "cifar100", "svhn_cropped"])
reviews = tsn_keras.scenarios.from_tfds(
    ["imdb_reviews"], map=lambda one: (one["text"], one["label"])
)
```

And a task may be an object of your own. It needs the attributes `name`,
`train`, `validation` and `test`, each of the three in batches `(x, y)` as `fit`
takes them; if it has `class_names`, `ScenarioRun` stores them. A list of such
objects is a scenario.

## All of it as one command

`examples/own_images.py` does this with a folder of yours, and writes the model,
a report and the bundle to a folder:

```bash
python -m examples.own_images --images=FOLDER --output_dir=/tmp/own_images
```

Without `--images` it draws the folder of above. Open `report.html`, then take
the bundle to where nothing but LiteRT and NumPy is installed:

```bash
python -c "import tsn_keras; tsn_keras.lite.copy_runner('/tmp/own_images')"
python3 -m venv /tmp/device && /tmp/device/bin/pip install -q ai-edge-litert numpy
cd /tmp/own_images && /tmp/device/bin/python runner.py all_tasks.tflite
```

`tools/first_hour.sh` plays all of it, from the README's commands on, in an empty
folder and fresh environments, and tells how long each step takes: 4 minutes on
two cores, of which installing is one.
"""
