"""Lets every kind of backbone learn three tasks and writes what worked.

    python -m examples.compatibility --output_dir=/tmp/compatibility

Writes `compatibility.md`, the table of docs/compatibility.md. The data are
made up and easy: the table says what works, not how well it learns. What was
found is kept in `found.json`, so that the backbones can be tried in several
runs, and steps be timed when the machine has nothing else to do:

    python -m examples.compatibility --backbones=LSTM,GRU --parts=outcome
    python -m examples.compatibility --backbones=LSTM,GRU --parts=steps
"""

import dataclasses
import json
import pathlib
import tempfile
import time

import keras
import numpy as np
from absl import app, flags, logging
from keras import tree

import tsn_keras
from examples.backbones import BACKBONES, Backbone, make_task
from examples.choices import define_choices

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", "/tmp/compatibility", "Where the table goes.")
flags.DEFINE_list("backbones", None, "Names of some backbones; default: all.")
define_choices(
    "parts",
    ["outcome", "steps"],
    ["outcome", "steps"],
    "What is found out: the outcome of learning, the time of a step, or both.",
)

NUM_TASKS = 3
HEADER = (
    "| backbone | kernels | tasks | accuracy | bit-exact | reload difference "
    "| LiteRT | step, ms | plain Keras, ms |\n" + "| --- " * 9 + "|\n"
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a backbone did with its tasks.

    Args:
        kernels: int, kernels found.
        accuracies: list of float, on each task after the last one.
        bit_exact: bool, whether logits of earlier tasks stayed the same bits.
        reload_difference: float, the largest of any logit after loading.
        exported: bool, whether LiteRT computes the same.
    """

    kernels: int
    accuracies: list[float]
    bit_exact: bool
    reload_difference: float
    exported: bool


def compile_model(model: keras.Model) -> None:
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def make_model(
    backbone: Backbone, fine_tune_steps: int = 3
) -> tsn_keras.ContinualModel:
    model = tsn_keras.ContinualModel(
        backbone.make(),
        pruning=tsn_keras.pruning.MagnitudePruning(0.5, frequency=3),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            min_width=4,
            max_width=8,
            tolerance=0.05,
            fine_tune_steps=fine_tune_steps,
        ),
        sharing=None,
        seed=0,
    )
    compile_model(model)
    return model


def learn(model: tsn_keras.ContinualModel, backbone: Backbone, number: int):
    """Learns the task of a number; returns its name and logits."""
    x, y = make_task(backbone, number)
    name = f"task {number}"
    model.add_task(name, backbone.head())
    model.fit(x, y, epochs=backbone.epochs, batch_size=16, verbose=0)
    model.consolidate((x, y), verbose=0)
    return name, model.predict(x, task=name, verbose=0)


def try_out(
    backbone: Backbone,
    model: tsn_keras.ContinualModel,
    num_tasks: int = NUM_TASKS,
) -> Outcome:
    """Lets a new model learn its tasks, and does all that is done with one."""
    logits = dict(learn(model, backbone, n) for n in range(num_tasks))
    tasks = [make_task(backbone, number) for number in range(num_tasks)]

    def predict_all(one):
        return [
            one.predict(x, task=name, verbose=0)
            for name, (x, _) in zip(logits, tasks)
        ]

    again = predict_all(model)
    same = [a.tobytes() == b.tobytes() for a, b in zip(again, logits.values())]
    accuracies = [
        float((one.argmax(axis=-1) == y).mean())
        for one, (_, y) in zip(again, tasks)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.keras"
        model.save(path)
        loaded = predict_all(keras.models.load_model(path))
        exported = export(model, f"{folder}/task.tflite", tasks[0][0])
    difference = max(np.abs(a - b).max() for a, b in zip(loaded, again))
    kernels = len(model.switch.kernels)
    return Outcome(kernels, accuracies, all(same), float(difference), exported)


def export(model, path: str, x) -> bool:
    """Tells whether LiteRT computes as the first task does."""
    rows = tree.map_structure(lambda part: part[:8], x)
    try:
        # The file is run and compared before it gets its name.
        model.export(
            path, format="litert", task="task 0", verification_data=rows
        )
    except tsn_keras.lite.ExportError as error:
        logging.warning("%s", error)
        return False
    return True


def step_ms(models: list[keras.Model], x, y, steps: int = 50) -> list[float]:
    """Returns the milliseconds of a training step of each model.

    The models take turns, so that whatever else the machine does hits all.
    """
    rows = tree.map_structure(lambda part: part[:32], x)
    times = [[] for _ in models]
    for step in range(steps + 2):
        for model, seconds in zip(models, times):
            start = time.perf_counter()
            model.train_on_batch(rows, y[:32])
            if step > 1:
                seconds.append(time.perf_counter() - start)
    return [1000 * float(np.median(seconds)) for seconds in times]


def time_steps(backbone: Backbone) -> list[float]:
    """Returns a step's time within a task and in plain Keras."""
    x, y = make_task(backbone, 0)
    model = make_model(backbone)
    model.add_task("a", backbone.head())
    # The task begins; its training function is not needed.
    model.fit(x, y, epochs=0, verbose=0)
    inner = backbone.make()
    inputs = tree.map_structure(
        lambda part: keras.Input(part.shape[1:], dtype=part.dtype), x
    )
    plain = keras.Model(inputs, backbone.head()(inner(inputs)))
    compile_model(plain)
    return step_ms([model, plain], x, y)


def find_out(backbone: Backbone, part: str) -> dict | list[float]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    if part == "steps":
        return time_steps(backbone)
    return dataclasses.asdict(try_out(backbone, make_model(backbone)))


def table_row(name: str, found: dict) -> str:
    outcome = Outcome(**found["outcome"])
    cells = [
        name,
        outcome.kernels,
        len(outcome.accuracies),
        " ".join(f"{accuracy:.2f}" for accuracy in outcome.accuracies),
        "yes" if outcome.bit_exact else "no",
        f"{outcome.reload_difference:g}",
        "yes" if outcome.exported else "no",
        *(f"{each:.1f}" for each in found.get("steps", [np.nan, np.nan])),
    ]
    return f"| {' | '.join(map(str, cells))} |\n"


def main(_) -> None:
    folder = pathlib.Path(FLAGS.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "found.json"
    found = json.loads(store.read_text()) if store.exists() else {}
    for name in FLAGS.backbones or BACKBONES:
        for part in FLAGS.parts:
            found.setdefault(name, {})[part] = find_out(BACKBONES[name], part)
            logging.info("%s: %s %s", name, part, found[name][part])
            store.write_text(json.dumps(found))
    rows = [
        table_row(name, found[name])
        for name in BACKBONES
        if "outcome" in found.get(name, {})
    ]
    (folder / "compatibility.md").write_text(HEADER + "".join(rows))


if __name__ == "__main__":
    app.run(main)
