"""Learns tasks from folders of your own images, and ships them in one file.

    python -m examples.own_images --images=FOLDER --output_dir=/tmp/own_images

FOLDER has a folder for each task, with one for each class in it, which has
images of any size: FOLDER/TASK/CLASS/IMAGES. Without `--images` a folder of
four tasks is drawn into `--output_dir` first.
"""

import pathlib
import time

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples.demo_images import make_demo

FLAGS = flags.FLAGS
flags.DEFINE_string("images", None, "The folder of tasks; drawn if not given.")
flags.DEFINE_string("output_dir", "/tmp/own_images", "Where all files go.")
flags.DEFINE_integer("demo_images", 100, "Images of a class that are drawn.")
flags.DEFINE_integer("image_size", 64, "Height and width of the inputs.")
flags.DEFINE_integer("epochs", 30, "Epochs a task.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_bool("beside_dense", False, "Train dense networks to compare.")


def make_backbone(input_shape: tuple[int, ...]) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.GlobalMaxPooling2D(),
        ]
    )


def compile_model(model: keras.Model) -> None:
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def train_dense(task: tsn_keras.scenarios.Task, epochs: int) -> float:
    """Trains a dense network of its own on one task, for comparison."""
    head = keras.layers.Dense(task.num_classes)
    model = keras.Sequential([make_backbone(task.input_shape), head])
    compile_model(model)
    model.fit(task.train, epochs=epochs, shuffle=False, verbose=0)
    return model.evaluate(task.test, return_dict=True, verbose=0)["accuracy"]


def predictions(model, task) -> str:
    """Returns what the model takes some test images for, by name."""
    x, y = next(iter(task.test))
    rows = np.linspace(0, len(y) - 1, 3).astype(int)
    logits = model.predict(x.numpy()[rows], task=task.name, verbose=0)
    return ", ".join(
        f"{task.class_names[label]} -> {task.class_names[guess]}"
        for label, guess in zip(y.numpy()[rows], logits.argmax(axis=-1))
    )


def main(_):
    logging.set_verbosity(logging.WARNING)
    start = time.perf_counter()
    keras.utils.set_random_seed(FLAGS.seed)
    folder = pathlib.Path(FLAGS.output_dir)
    images = FLAGS.images
    if images is None:
        images = folder / "images"
        make_demo(images, FLAGS.demo_images, FLAGS.seed)
    scenario = tsn_keras.scenarios.from_image_folders(
        images,
        image_size=(FLAGS.image_size, FLAGS.image_size),
        batch_size=16,
        seed=FLAGS.seed,
    )
    print(scenario)

    backbone = make_backbone(scenario.input_shape)
    model = tsn_keras.ContinualModel(backbone, seed=FLAGS.seed)
    compile_model(model)
    # Prints a row as each task ends, and writes the model and the report.
    run = tsn_keras.evaluation.ScenarioRun(model, scenario, folder)
    single = [] if FLAGS.beside_dense else None
    for task in scenario:
        run.learn(keras.layers.Dense(task.num_classes), epochs=FLAGS.epochs)
        if single is not None:
            single.append(train_dense(task, FLAGS.epochs))
            print(f"{task.name}, dense network: {single[-1]:.2%}")

    report = run.finish(FLAGS.flag_values_dict(), single)
    for task in scenario:
        print(f"{task.name}: {predictions(model, task)}")
    bundle = folder / "all_tasks.tflite"
    tsn_keras.lite.export_bundle(model, bundle)
    metrics, capacity = report["metrics"], report["capacity"]
    print(
        f"average accuracy {metrics['average_accuracy']:.2%}, forgotten "
        f"{metrics['forgetting']:.2%}, bit-exact: {report['bit_exact']}\n"
        f"bank {capacity['total_bytes']:,} bytes, bundle of all tasks "
        f"{bundle.stat().st_size:,}, one dense network "
        f"{capacity['dense_bytes']:,}\n"
        f"{time.perf_counter() - start:.0f} s; everything in {folder}"
    )


if __name__ == "__main__":
    app.run(main)
