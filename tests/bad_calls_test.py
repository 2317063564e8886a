"""Every public function is called with what it cannot work with.

One table for all of them. Each row is a call that must fail with an error that
names the argument and what was received. After the rows of a function nothing
is half changed: models, banks, compiled parts and files are as before.
`bad_input_test.py` has more about the data of a task, and what can be done
after an error.
"""

import functools
import hashlib
import pathlib
import re
import tempfile
import types
import warnings

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import begin, digits, learn, make_model, mlp, reloaded
from tsn_keras import (
    bank,
    baselines,
    callbacks,
    evaluation,
    inference,
    layers,
    lite,
    pruning,
    quantization,
    scenarios,
    sharing,
)

X, Y = digits(1, slice(0, 64))
TEXT = X.astype(str)
NAN, INF = float("nan"), float("inf")
DATASET = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
RAISES = (TypeError, ValueError)
IMAGES = np.random.default_rng(0).random((20, 4, 4), "float32")
LABELS = np.arange(20) % 2
PAIR = IMAGES, LABELS
Dense = keras.layers.Dense
# What errors say that speak of the code instead of the argument.
OBSCURE = (
    r"has no attribute|is not iterable|is not subscriptable|has no len\(\)|"
    r"not supported between|is not callable|pop from|unhashable|"
    r"out of range|batch_outputs|Graph execution error|unsupported operand"
)


class Stage:
    """Models in all states, and files, made once for all rows."""

    def __init__(self):
        self.stored = make_model()
        learn(self.stored, epochs=1)
        self.running = reloaded(self.stored)
        begin(self.running, 1, epochs=1)
        self.fresh = make_model()
        self.plain = tsn_keras.ContinualModel(mlp())
        self.added = make_model()
        self.added.add_task("a", Dense(10))
        self.unbuilt = tsn_keras.ContinualModel(Dense(3))
        self.view = self.stored.task("task 0")
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.stored.save(self / "model.keras")
        make_model(mlp(16)).save(self / "other.keras")
        for name in ("junk.keras", "junk.tflite", "junk.weights.h5"):
            (self / name).write_bytes(b"neither a bank nor a network" * 9)
        (self / "empty.tflite").touch()
        for name in ("folder.keras", "folder.tflite", "folder.png"):
            (self / name).mkdir()
        (self / "own").mkdir()
        (self / "own" / "runner.py").write_text("print('mine')")
        lite.export_task(
            self.stored, self / "task.tflite", compression="none"
        )
        lite.export_bundle(self.stored, self / "bundle.tflite")
        self.content = (self / "task.tflite").read_bytes()
        self.asleep = lite.TaskRunner(self / "bundle.tflite")
        self.runner = lite.TaskRunner(self / "bundle.tflite")
        self.runner.select("task 0")
        parts = dict.fromkeys(("train", "validation", "test"), DATASET)
        self.task = types.SimpleNamespace(name="task 0", **parts)
        self.run = evaluation.ScenarioRun(self.fresh, [self.task], self / "run")
        self.bank = self.stored.bank
        self.report = {
            "tasks": [self.stored.report("task 0").to_dict()],
            "matrix": evaluation.AccuracyMatrix(1),
            "capacity": self.stored.capacity(),
            "bit_exact": True,
            "seconds": 1.0,
            "config": {},
        }

    def __truediv__(self, name):
        return self.folder / name

    def models(self):
        names = ("stored", "running", "fresh", "plain", "added", "unbuilt")
        return {name: getattr(self, name) for name in names}

    def state(self):
        """Returns all that no row may change."""
        state = {name: state_of(m) for name, m in self.models().items()}
        state["files"] = {
            path: path.is_file() and digest(path.read_bytes())
            for path in self.folder.rglob("*")
        }
        state["runners"] = self.asleep.selected, self.runner.selected
        state["run"] = self.run.learned, self.run.matrix.to_list()
        state["view"] = digest(*self.view.variables.values())
        return state


def digest(*parts):
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.asarray(part))
    return found.hexdigest()


def state_of(model):
    state = {
        "tasks": model.tasks,
        "compiled": model.compiled and repr(model.get_compile_config()),
        "optimizer": model.compiled and id(model.optimizer),
        "metrics": model.compiled and model.metrics_names,
        "strategies": (model.pruning, model.quantization, model.sharing),
        "heads": model.heads.count,
    }
    variables = list(model.backbone.variables)
    if model.heads.selected is not None:
        variables += model.heads.head.variables
    running = model.running_task
    # Each task begins with a new optimizer.
    if model.compiled and (running is None or running.begun):
        variables += model.optimizer.variables
    state["variables"] = digest(*variables)
    state["trainable"] = [v.trainable for v in variables]
    if model.bank is not None:
        state["bank"] = model.bank.to_bytes()
    if running is not None:
        state["running"] = running.name, running.begun, running.progress.step
        state["masks"] = digest(*(m.mask.copy() for m in running.masks))
    return state


@functools.cache
def stage():
    return Stage()


class At:
    """A path, or anything else that is made of the stage."""

    def __init__(self, make):
        self.make = make if callable(make) else lambda s: s / make


EMPTY = At("folder.keras")
STORED = At(lambda s: s.stored)


def given(value):
    return value.make(stage()) if isinstance(value, At) else value


def bad(error, message, *args, **kwargs):
    """Returns a row: an error, what it says, and the call."""
    return error, message, args, kwargs


def each(name, wrong_types=(), wrong_values=(), args=(), **others):
    """Returns rows for one argument given by its name."""
    rows = [
        bad(
            TypeError,
            f"`{name}.* must .*Received: .*{re.escape(repr(value))}",
            *args,
            **{**others, name: value},
        )
        for value in wrong_types
    ]
    return rows + [
        bad(
            ValueError,
            f"{name}.*Received: .*{re.escape(str(value))}",
            *args,
            **{**others, name: value},
        )
        for value in wrong_values
    ]


NO_NUMBERS = None, "3", [1], True, {}
NO_FLAGS = None, "no", 3
COUNTS = NO_NUMBERS[1:] + (1.5, NAN)


def settings(name, args, **others):
    """Returns rows for what `fit`, `evaluate` and `predict` have in common."""
    return each(name, COUNTS, (0, -1), args, **others)


def inputs(message="`x` must be an array"):
    """Returns rows for the inputs of a model."""
    return [
        bad(TypeError, f"{message}.*None", None),
        bad(TypeError, f"{message}.*'text'", "text"),
        bad(TypeError, f"{message}.*3", 3),
        bad(TypeError, f"{message}.*object", object()),
        bad(TypeError, f"{message}.*type list", X.tolist()),
        bad(ValueError, r"\(None, 64\).*\(64, 3\)", X[:, :3]),
        bad(ValueError, "takes 1 inputs.* 2", [X, X]),
        bad(ValueError, "`x` is empty", []),
        bad(ValueError, r"`x` is empty.*\(0, 64\)", X[:0]),
        bad(TypeError, "`x` must hold numbers.*<U32", TEXT),
    ]


def labelled(rows):
    """Adds labels to rows that have inputs only."""
    return [(*row[:2], (*row[2], Y), row[3]) for row in rows]


UNKNOWN_TASK = [
    bad(TypeError, "`task` must be a string.*None", None),
    bad(TypeError, "`task` must be a string.*3", 3),
    bad(TypeError, "`task` must be a string.*list", ["task 0"]),
    bad(ValueError, "Unknown task ''", ""),
    bad(ValueError, "Unknown task 'b'.*'task 0'", "b"),
]
TASKS = each("task", (3, ["task 0"], b"task 0"), args=(X,))
TASKS += [bad(ValueError, "Unknown task 'b'.*'task 0'", X, task="b")]
NOT_A_PATH = [
    bad(TypeError, "`path` must be a path.*None", None),
    bad(TypeError, "`path` must be a path.*3", 3),
    bad(ValueError, "`path` is empty", ""),
]
BANK = At(lambda s: s.bank)
NO_BANK = [
    bad(TypeError, "`bank`.*None", None, At("a.png")),
    bad(TypeError, "`bank`.*ContinualModel", STORED, At("a.png")),
]
WHOLE_REPORT = At(lambda s: evaluation.build_report(**s.report))
READ_A_FILE = [
    *NOT_A_PATH,
    bad(FileNotFoundError, "none.tflite", At("none.tflite")),
    bad(IsADirectoryError, "folder", At("folder.tflite")),
    bad(ValueError, "junk.tflite.*252 bytes", At("junk.tflite")),
    bad(ValueError, "empty.tflite", At("empty.tflite")),
]
NOT_A_BANK = [
    bad(TypeError, "must be bytes.*NoneType", None),
    bad(TypeError, "must be bytes.*str", "bank"),
    bad(ValueError, "begins with.*damaged", b""),
    bad(ValueError, "damaged.*ends after 4 bytes", b"TSNB"),
    bad(ValueError, "Received b'junk'", b"junk" * 20),
    bad(ValueError, "damaged", At(lambda s: s.bank.to_bytes()[:-1])),
    bad(ValueError, "damaged", At(lambda s: s.bank.to_bytes() + b"x")),
    bad(TypeError, "must be bytes.*list", []),
]
UNKNOWN_IN_BANK = [
    bad(KeyError, r"Unknown task 'b'.*\['task 0'\]", "b"),
    bad(KeyError, "Unknown task None", None),
    bad(KeyError, "Unknown task 0", 0),
]
NO_LAYER = [
    bad(TypeError, "must be a keras.layers.Layer.*None", None),
    bad(TypeError, "must be a keras.layers.Layer.*'dense'", "dense"),
]
KERNELS = [
    *each("kernels", (3, NAN, Dense(2))),
    bad(TypeError, "`kernels` must hold classes.*int", kernels=[int]),
    bad(ValueError, r"`kernels` is no regular.*\(", kernels="("),
    bad(ValueError, "`kernels` is empty", kernels=()),
]
SPLIT = [
    bad(ValueError, "`data` must be an ImageData.*NoneType", None),
    bad(ValueError, "`data` must be an ImageData.*ndarray", IMAGES),
]


@functools.cache
def image_data():
    return scenarios.ImageData(PAIR, PAIR)


def of_images(rows):
    """Puts the images before the other arguments of a scenario."""
    return [
        (error, message, (At(lambda s: image_data()), *args), kwargs)
        for error, message, args, kwargs in rows
    ]


PRUNING = [
    *each("sparsity", ("a", [1]), (NAN, INF, -1, 1.0)),
    *each("sparsity", (True,)),
    bad(ValueError, "`sparsity` is an empty dict", {}),
    bad(ValueError, r"`sparsity` is no regular.*'\('", {"(": 0.5}),
    bad(ValueError, "`sparsity` is no regular.*3", {3: 0.5}),
    bad(TypeError, "must be a number.*'a'", {".*": "a"}),
    *each("schedule", ("a", 3)),
    *each("begin", NO_NUMBERS, (NAN, -1, 0.9)),
    *each("end", NO_NUMBERS, (NAN, 0, 1.5)),
    *each("frequency", (*NO_NUMBERS, 1.5, NAN, INF), (0, -1)),
    *each("tolerance", NO_NUMBERS[1:], (NAN, -1, 1.0)),
    *each("budget", NO_NUMBERS[1:], (NAN, INF, 0, -1)),
    bad(ValueError, "Give one of.*budget=9", 0.5, budget=9),
    bad(TypeError, "nonsense", nonsense=1),
]
COMPARISON = [
    *each("threshold", NO_NUMBERS, (NAN, -1)),
    *each("sample_size", (*NO_NUMBERS, 1.5, NAN, INF), (1, -1)),
]
FRACTION = NO_NUMBERS, (NAN, INF, 0, -1, 1.5)
MATRIX = [
    bad(ValueError, r"`matrix` must have.*shape \(\)", None),
    bad(ValueError, "`matrix` must hold numbers.*'a'", "a"),
    bad(ValueError, "`matrix` must hold numbers.*'a'", [["a"]]),
    bad(ValueError, r"`matrix` must hold numbers.*\[3\]", [[1, 2], [3]]),
    bad(TypeError, "`matrix` must hold numbers.*object", object()),
    bad(ValueError, r"`matrix` must have.*\(0,\)", []),
    bad(ValueError, r"`matrix` must have.*\(1, 2\)", [[1, 2]]),
]
GAPS = [
    bad(ValueError, "`matrix` has missing", evaluation.AccuracyMatrix(2)),
    bad(ValueError, "`matrix` has infinite.*inf", [[1, NAN], [INF, 1]]),
]
REPORT = [
    *each("tasks", (None, 3, "ab")),
    bad(TypeError, "tasks.*object", tasks=[object()]),
    *each("matrix", (None, [[1.0]])),
    *each("capacity", (None, {})),
    *each("bit_exact", NO_FLAGS),
    *each("seconds", NO_NUMBERS),
    *each("config", (None, 3, [1])),
    bad(TypeError, "config.*'a'.*object", config={"a": object()}),
    bad(ValueError, "`extra` has the keys.*metrics", metrics=3),
]


def with_report(rows, *first):
    """Completes rows by the other arguments of a report."""

    def value(name):
        return At(lambda s: s.report[name])

    names = ("tasks", "matrix", "capacity", "bit_exact", "seconds", "config")
    full = {name: value(name) for name in names}
    return [
        (error, message, (*first, *args), {**full, **kwargs})
        for error, message, args, kwargs in rows
    ]


FIT = [
    *labelled(inputs()[:5]),
    bad(ValueError, "`x` is empty", [], []),
    bad(TypeError, "`x` must be an array.*None"),
    bad(TypeError, "`y` must be an array.*'y'", X, "y"),
    bad(TypeError, "`y` must be an array.*3", X, 3),
    bad(ValueError, "`y` should not be passed", DATASET, Y),
    bad(ValueError, "Data must be given in batches", tf.data.Dataset.range(3)),
    bad(ValueError, "in batches.*'a'", At(lambda s: (v for v in ["a"]))),
    *settings("batch_size", (X, Y)),
    *settings("steps_per_epoch", (X, Y)),
    *settings("validation_batch_size", (X, Y)),
    *settings("validation_steps", (X, Y)),
    *each("epochs", (None, *COUNTS), (-1,), (X, Y)),
    *each("initial_epoch", (None, *COUNTS), (-1,), (X, Y)),
    *each("validation_split", NO_NUMBERS[1:], (NAN, -0.1, 1.0), (X, Y)),
    *each("validation_freq", (None, "a", 1.5), (0, -1), (X, Y)),
    *each("validation_data", ("v", 3, object()), (), (X, Y)),
    bad(
        ValueError, "`validation_data`.*64.*5", X, Y, validation_data=(X, Y[:5])
    ),
    *each("verbose", (), ("loud", -1, 7), (X, Y)),
    *each("callbacks", (3, ["x"]), (), (X, Y))[:1],
    bad(
        TypeError,
        "`callbacks`.*EarlyStopping",
        X,
        Y,
        callbacks=[keras.callbacks.EarlyStopping],
    ),
    *each("class_weight", ([1, 2], 3), (), (X, Y)),
    bad(TypeError, r"class_weight\[0\].*'a'", X, Y, class_weight={0: "a"}),
    bad(ValueError, r"class_weight\[0\].*nan", X, Y, class_weight={0: NAN}),
    *each("sample_weight", ("w", 3), (), (X, Y)),
    bad(ValueError, "(one row|cardinality).*3", X, Y, sample_weight=np.ones(3)),
    bad(TypeError, "`fit`.*nonsense", X, Y, nonsense=1),
    bad(TypeError, "`task` must be a string.*3", X, Y, task=3),
    bad(ValueError, "Unknown task ''", X, Y, task=""),
    bad(ValueError, "'task 0' is consolidated", X, Y, task="task 0"),
]
# What is found out only while the task is trained.
FIT_LATE = [
    bad(ValueError, "Give `y`", X),
    bad(ValueError, "Give `y`", DATASET.map(lambda x, y: x)),
    bad(ValueError, "rank", X, np.eye(10)[Y]),
    bad(ValueError, "Give `y`", X, Y, validation_data=(X,)),
    bad(ValueError, r"\(64, 3\)", X, Y, validation_data=(X[:, :3], Y)),
    bad(ValueError, "label value of", X, Y, validation_data=(X, Y + 20)),
]
ON_BATCH = [
    *labelled(inputs()),
    bad(ValueError, "Give `y`", X),
    bad(TypeError, "`y` must be an array.*'y'", X, "y"),
    bad(ValueError, r"one row.*\(3,\)", X, Y[:3]),
    bad(ValueError, "[Ll]abel.* 29", X, Y + 20),
    bad(TypeError, "missing a required argument: 'x'"),
]
READ = [
    *settings("batch_size", (X,)),
    *settings("steps", (X,)),
    *each("verbose", (), ("loud",), (X,)),
    *each("callbacks", (3,), (), (X,)),
    bad(ValueError, "least one batch", At(lambda s: (v for v in ()))),
]
VALIDATION = [
    *each("validation_data", (object(), 3, True, {}, "v")),
    bad(ValueError, "`validation_data` is empty", []),
    bad(TypeError, "`validation_data` must.*array", X),
    bad(ValueError, "Give `y`", (X,)),
    bad(ValueError, "Give `y`", (X, None)),
    bad(TypeError, "`validation_data`.*None", (None, Y)),
    bad(TypeError, "`validation_data`.*tuple", (X, Y, None, None)),
    bad(ValueError, r"`validation_data`.*\(5,\)", (X, Y[:5])),
    bad(ValueError, "loss is NaN", (X, Y, np.full(64, NAN))),
    bad(TypeError, "`validation_data`.*1", [1, 2]),
    bad(TypeError, "`validation_data`.*'x'", ("x", "y")),
    bad(ValueError, "in batches", tf.data.Dataset.range(3)),
    *each("monitor", (3, ["accuracy"]), ("", "auc"), ((X, Y),)),
    *each("mode", (None, 3, ["min"]), ("up",), ((X, Y),)),
    *each("verbose", (), ("loud", -1), ((X, Y),)),
]
NEW_FILE = [
    bad(TypeError, "`path` must be a path.*None", STORED, None),
    bad(TypeError, "`path` must be a path.*3", STORED, 3),
    bad(ValueError, "ends in '.tflite'.*a.txt", STORED, At("a.txt")),
    bad(ValueError, "is a folder", STORED, At("folder.tflite")),
    bad(ValueError, "does not exist", STORED, At("none/a.tflite")),
    bad(TypeError, "`model` must be.*None", None, At("a.tflite")),
    bad(TypeError, "`model` must be.*Sequential", mlp(), At("a.tflite")),
]
LITERT = [
    *NEW_FILE,
    *each("batch_size", (), (0, -1, "1", 1.5, True), (STORED, At("a.tflite"))),
]
EXPORT = [
    *LITERT,
    bad(TypeError, "`task` must be a string.*3", STORED, At("a.tflite"), 3),
    bad(ValueError, "Unknown task 'b'", STORED, At("a.tflite"), "b"),
    *(
        bad(
            ValueError,
            "nknown precision.*int4",
            STORED,
            At("a.tflite"),
            precision=value,
        )
        for value in (None, 8, ["int8"], "int3")
    ),
    *(
        bad(
            ValueError,
            "nknown compression.*auto, none",
            STORED,
            At("a.tflite"),
            compression=value,
        )
        for value in (None, 8, ["auto"], "sparse")
    ),
    bad(
        ValueError,
        "needs `representative_data`",
        STORED,
        At("a.tflite"),
        precision="int8",
    ),
    *each("min_agreement", NO_NUMBERS, (NAN, 2, -1), (STORED, At("a.tflite"))),
    *each("remove_dead_units", NO_FLAGS, (), (STORED, At("a.tflite"))),
    *(
        bad(ValueError, f"`{name}`", STORED, At("a.tflite"), **{name: value})
        for name in ("verification_data", "representative_data")
        for value in ("v", 3, [], X[:0], X[:, :3], (X, Y[:3]), (X, "y"))
    ),
]
BUNDLE = [
    *LITERT,
    *each("tasks", (3, "task 0", [None]), (), (STORED, At("b.tflite")))[:2],
    bad(TypeError, "`tasks`.*None", STORED, At("b.tflite"), [None]),
    bad(ValueError, "no consolidated task", STORED, At("b.tflite"), []),
    bad(ValueError, "Unknown task 'x'", STORED, At("b.tflite"), ["x"]),
    bad(
        ValueError,
        "'task 1' is not consolidated",
        At(lambda s: s.running),
        At("b.tflite"),
        ["task 1"],
    ),
    *(
        bad(
            error,
            f"`class_names.*{text}",
            STORED,
            At("b.tflite"),
            class_names=value,
        )
        for error, text, value in (
            (TypeError, "list", ["a"]),
            (ValueError, "'x'", {"x": ["a"]}),
            (TypeError, "'abc'", {"task 0": "abc"}),
            (TypeError, "3", {"task 0": 3}),
            (ValueError, "is empty", {"task 0": []}),
        )
    ),
    bad(
        TypeError,
        "`verification_data`.*ndarray",
        STORED,
        At("b.tflite"),
        verification_data=X,
    ),
]
MICRO_BUNDLE = [
    *NEW_FILE,
    bad(ValueError, "no consolidated task", STORED, At("b.tflite"), []),
    bad(ValueError, "Unknown task 'x'", STORED, At("b.tflite"), ["x"]),
    bad(ValueError, "none of: .*'task 0'", STORED, At("b.tflite")),
    bad(
        TypeError,
        "`representative_data`.*ndarray",
        STORED,
        At("b.tflite"),
        representative_data=X,
    ),
    bad(
        ValueError,
        "`verification_data`.*'x'",
        STORED,
        At("b.tflite"),
        verification_data={"x": X},
    ),
    *each("max_arena", ("a", 1.5), (0, -3), (STORED, At("b.tflite"))),
    *each("forms", (3, "bitmap"), (["zip"],), (STORED, At("b.tflite"))),
    *each("remove_dead_units", NO_FLAGS, (), (STORED, At("b.tflite"))),
    *each("min_agreement", ("a",), (-1, 2), (STORED, At("b.tflite"))),
]
CONTENT = [
    bad(TypeError, "`content` must be the bytes.*None", None),
    bad(TypeError, "`content` must be the bytes.*'x'", "x"),
    bad(ValueError, "`content`.* 0 bytes", b""),
    bad(ValueError, "`content`.* 120 bytes", b"junk" * 30),
    bad(ValueError, "(?i)flat|200 bytes", At(lambda s: s.content[:200])),
]
OPTIMIZER_OF_ANOTHER = At(lambda s: s.running.optimizer)
COMPILE = [
    bad(ValueError, "optimizer.*bogus", "bogus"),
    bad(ValueError, "optimizer.*3", 3),
    bad(ValueError, "used for another model", OPTIMIZER_OF_ANOTHER, "mse"),
    bad(ValueError, "`loss`.*'bogus'", "adam", "bogus"),
    bad(TypeError, "`loss`.*3", "adam", 3),
    bad(ValueError, "`loss`.*'bogus'", "adam", {"a": "bogus"}),
    bad(TypeError, "`metrics` must be a list.*3", "adam", metrics=3),
    bad(TypeError, "`metrics`.*'accuracy'", "adam", metrics="accuracy"),
    bad(ValueError, "`metrics`.*'bogus'", "adam", metrics=["bogus"]),
    bad(TypeError, "`metrics`.*3", "adam", metrics=[3]),
    bad(TypeError, "`weighted_metrics`.*3", "adam", weighted_metrics=3),
    *each("steps_per_execution", (None, "a", 1.5, True), (0, -1)),
    bad(TypeError, "`compile`.*nonsense", "adam", nonsense=1),
]
ADD_TASK = [
    bad(ValueError, "non-empty string.*None", None, Dense(10)),
    bad(ValueError, "non-empty string.*''", "", Dense(10)),
    bad(ValueError, "non-empty string.*b'a'", b"a", Dense(10)),
    bad(TypeError, "`head`.*None", "a", None),
    bad(TypeError, "`head`.*Dense", "a", Dense),
    bad(TypeError, "`head`.*'dense'", "a", "dense"),
    bad(ValueError, "another head", "a", keras.layers.Conv2D(3, 3)),
    bad(ValueError, "`loss`.*'bogus'", "a", Dense(10), loss="bogus"),
    bad(TypeError, "`loss`.*3", "a", Dense(10), loss=3),
    bad(TypeError, "`metrics`.*'acc'", "a", Dense(10), metrics="acc"),
    bad(ValueError, "`metrics`.*'bogus'", "a", Dense(10), metrics=["bogus"]),
    bad(TypeError, "`metrics`.*3", "a", Dense(10), metrics=[3]),
    *(
        bad(error, f"`class_names`.*{text}", "a", Dense(3), class_names=names)
        for error, text, names in (
            (TypeError, "'abc'", "abc"),
            (TypeError, "3", 3),
            (TypeError, "None", ["a", None, "c"]),
            (ValueError, "empty", []),
            (ValueError, "empty name", ["a", " ", "c"]),
            (ValueError, "control characters", ["a", "b\n", "c"]),
            (ValueError, r"\['b'\] more than once", ["a", "b", "b"]),
            (ValueError, "has 3. Received 2 names", ["a", "b"]),
        )
    ),
]


def changed_weights(change):
    """Returns weights of which only the last is wrong."""

    def make(s):
        *first, last = s.stored.get_weights()
        return [*map(np.zeros_like, first), change(last)]

    return At(make)


# Every public name, or a step out of order, with its bad calls.
TABLE = {
    "ContinualModel": (
        lambda s: functools.partial(tsn_keras.ContinualModel, mlp()),
        [
            *each("seed", ("1", 1.5, NAN, True), (-1,)),
            *each("tolerance", NO_NUMBERS, (NAN, -1, 1.0)),
            *KERNELS,
            bad(ValueError, "no maskable kernels", kernels="nothing"),
            bad(ValueError, "name=3", name=3),
            bad(ValueError, "nonsense", nonsense=3),
            *each("pruning", (True, pruning.MagnitudePruning, {"a": 1})),
            *each("quantization", ([], True)),
            *each("sharing", ({}, 3)),
            *each("inference", (3, len), ("energy",)),
        ],
    ),
    "ContinualModel of a backbone": (
        lambda s: tsn_keras.ContinualModel,
        [
            bad(TypeError, "`backbone`.*None", None),
            bad(TypeError, "`backbone`.*'mlp'", "mlp"),
            bad(TypeError, "`backbone`.*Dense", Dense),
            bad(TypeError, "backbone"),
        ],
    ),
    "compile": (lambda s: s.stored.compile, COMPILE),
    "compile while a task is running": (
        lambda s: s.running.compile,
        COMPILE[3:],
    ),
    "add_task": (lambda s: s.fresh.add_task, ADD_TASK),
    "add_task twice": (
        lambda s: s.running.add_task,
        [
            bad(ValueError, "named 'task 0' already", "task 0", Dense(10)),
            bad(ValueError, "named 'task 1' already", "task 1", Dense(10)),
            bad(ValueError, "'task 1' is still running", "b", Dense(10)),
        ],
    ),
    "fit before compile": (
        lambda s: s.plain.fit,
        [bad(ValueError, "compile", X, Y)],
    ),
    "fit without a task": (
        lambda s: s.fresh.fit,
        [
            bad(ValueError, "no task to train.*add_task", X, Y),
            bad(ValueError, "Unknown task 'a'", X, Y, task="a"),
        ],
    ),
    "fit a consolidated task": (
        lambda s: s.stored.fit,
        [bad(ValueError, "'task 0' is consolidated", X, Y)],
    ),
    "fit": (lambda s: quiet(s.running.fit), FIT + FIT_LATE),
    "fit a task that has not begun": (lambda s: quiet(s.added.fit), FIT_LATE),
    "train_on_batch": (
        lambda s: s.running.train_on_batch,
        [
            *ON_BATCH,
            bad(ValueError, "`x` has 4096 entries.*NaN", X * NAN, Y),
            bad(ValueError, r"\(3,\)", X, Y, np.ones(3)),
            *each("class_weight", (3,), (), (X, Y)),
            bad(TypeError, "`train_on_batch`.*task", X, Y, task="task 1"),
        ],
    ),
    "train_on_batch before fit": (
        lambda s: s.added.train_on_batch,
        [bad(ValueError, "model.fit", X, Y)],
    ),
    "consolidate before compile": (
        lambda s: s.plain.consolidate,
        [bad(ValueError, "compile", (X, Y))],
    ),
    "consolidate without a task": (
        lambda s: s.fresh.consolidate,
        [bad(ValueError, "no task yet.*add_task", (X, Y))],
    ),
    "consolidate before fit": (
        lambda s: s.added.consolidate,
        [bad(ValueError, "'a' has not been trained", (X, Y))],
    ),
    "consolidate twice": (
        lambda s: s.stored.consolidate,
        [bad(ValueError, "'task 0' is consolidated already", (X, Y))],
    ),
    "consolidate": (
        lambda s: quiet(s.running.consolidate),
        [
            *VALIDATION,
            bad(TypeError, "`x`.*3", (X, Y), training_data=3),
            bad(TypeError, "`x`.*text|`x` .*'a'", (X, Y), training_data="a"),
            bad(ValueError, "`training_data`.*0", (X, Y), training_data=()),
            bad(ValueError, "NaN", (X, Y), training_data=(X * NAN, Y)),
            bad(ValueError, "one row for", (X, Y), training_data=(X, Y[:3])),
            bad(ValueError, "empty", (X, Y), training_data=(X[:0], Y[:0])),
        ],
    ),
    "evaluate": (
        lambda s: quiet(s.stored.evaluate),
        labelled(inputs())
        + READ
        + TASKS
        + [
            bad(TypeError, "`x` must be an array.*None"),
            bad(ValueError, "Give `y`", X),
            bad(ValueError, "cardinality.*3", X, Y[:3]),
            bad(ValueError, "label value of 29", X, Y + 20),
            bad(TypeError, "`y` must be an array.*'y'", X, "y"),
            *each("sample_weight", ("w",), (), (X, Y)),
        ],
    ),
    "evaluate without a task": (
        lambda s: s.fresh.evaluate,
        [bad(ValueError, "no task yet", X, Y)],
    ),
    "evaluate before fit": (
        lambda s: s.added.evaluate,
        [bad(ValueError, "model.fit", X, Y)],
    ),
    "predict": (
        lambda s: quiet(s.stored.predict),
        inputs()
        + READ
        + TASKS
        + [
            bad(TypeError, "`batch_size` must be an integer", X, Y),
            bad(TypeError, "missing a required argument: 'x'"),
            bad(TypeError, "`predict`.*nonsense", X, nonsense=1),
        ],
    ),
    "predict without a task": (
        lambda s: s.plain.predict,
        [bad(ValueError, "no task yet", X)],
    ),
    "predict with an unbuilt model": (
        lambda s: s.unbuilt.predict,
        [bad(ValueError, "no task yet", X)],
    ),
    "predict_on_batch": (lambda s: s.stored.predict_on_batch, inputs()),
    "test_on_batch": (lambda s: s.stored.test_on_batch, ON_BATCH),
    "call": (
        lambda s: s.stored,
        [
            bad(TypeError, "None", None),
            bad(ValueError, "text", "text"),
            bad(ValueError, r"\(64, 3\)", X[:, :3]),
            bad(ValueError, "takes 1 inputs.* 2", [X, X]),
        ],
    ),
    "report": (lambda s: s.stored.report, UNKNOWN_TASK),
    "report without a bank": (
        lambda s: s.unbuilt.report,
        [bad(ValueError, "Unknown task 'a'", "a")],
    ),
    "report of the running task": (
        lambda s: s.running.report,
        [bad(ValueError, "'task 1' is not consolidated", "task 1")],
    ),
    "task": (
        lambda s: s.running.task,
        [
            *UNKNOWN_TASK,
            bad(ValueError, "'task 1' is not consolidated", "task 1"),
        ],
    ),
    "task's predict": (
        lambda s: quiet(s.view.predict),
        [*inputs(), bad(TypeError, "'task 0' alone.*'b'", X, task="b")],
    ),
    "task's evaluate": (
        lambda s: quiet(s.view.evaluate),
        [
            *labelled(inputs()),
            bad(TypeError, "'task 0' alone.*'b'", X, Y, task="b"),
        ],
    ),
    "task's call": (lambda s: s.view, inputs()),
    "task's export": (
        lambda s: s.view.export,
        [
            *NOT_A_PATH,
            bad(TypeError, "'task 0' alone.*'b'", At("a.tflite"), task="b"),
            bad(ValueError, "format=x", At("a.tflite"), "x"),
        ],
    ),
    "export": (
        lambda s: s.stored.export,
        [
            bad(TypeError, "`filepath` must be a path.*None", None),
            bad(ValueError, "`filepath` is empty", ""),
            bad(ValueError, "does not exist", At("none/a")),
            bad(ValueError, "format=None", At("a.tflite"), None),
            bad(ValueError, "format=bogus", At("a"), "bogus"),
            bad(ValueError, "a.txt", At("a.txt"), "litert"),
            bad(TypeError, "`task`.*3", At("a.tflite"), "litert", 3),
            bad(ValueError, "Unknown task ''", At("a.tflite"), "litert", ""),
            bad(TypeError, "nonsense", At("a.tflite"), "litert", nonsense=1),
        ],
    ),
    "export of the running task": (
        lambda s: s.running.export,
        [
            bad(ValueError, "'task 1' is not consol", At("a.tflite"), "litert"),
            bad(ValueError, "'task 1' is not consolidated", At("a")),
        ],
    ),
    "export without a task": (
        lambda s: s.fresh.export,
        [bad(ValueError, "no task yet", At("a.tflite"), "litert")],
    ),
    "capacity of an empty bank": (
        lambda s: s.fresh.capacity,
        [bad(ValueError, "bank is empty")],
    ),
    "capacity without a bank": (
        lambda s: s.unbuilt.capacity,
        [bad(ValueError, "bank is empty")],
    ),
    "remove_task": (
        lambda s: s.stored.remove_task,
        [
            bad(TypeError, "`task` must be a string", 3),
            bad(ValueError, "Unknown task 'x'", "x"),
            bad(ValueError, "'task 0' is the only one", "task 0"),
        ],
    ),
    "remove_task while one is running": (
        lambda s: s.running.remove_task,
        [
            bad(ValueError, "'task 1' is running", "task 0"),
            bad(ValueError, "'task 1' is running", "task 1"),
        ],
    ),
    "infer_task": (
        lambda s: s.stored.infer_task,
        [
            bad(ValueError, "`x` is empty", X[:0]),
            bad(ValueError, "`batch` must be one of", X, batch="all"),
            bad(TypeError, "`tasks` must be a list", X, tasks="task 0"),
            bad(ValueError, "Unknown task 'x'", X, tasks=["x"]),
            *each("max_tasks", (*NO_NUMBERS[1:], 1.5), (0, -1), args=(X,)),
        ],
    ),
    "learn_inference": (
        lambda s: s.stored.learn_inference,
        [
            bad(ValueError, "Unknown task 'x'", "x", (X, Y)),
            bad(ValueError, "empty", "task 0", (X[:0], Y[:0])),
        ],
    ),
    "inference.InputMeans": (
        lambda s: inference.InputMeans,
        [
            *each("width", (*NO_NUMBERS, 1.5), (0, 9)),
            *each("most", (*NO_NUMBERS, 1.5), (0,)),
        ],
    ),
    "inference.Confidence": (
        lambda s: inference.Confidence,
        [bad(TypeError, "x", x=3)],
    ),
    "inference.Inference": (
        lambda s: inference.Inference,
        [bad(TypeError, "abstract.*learn")],
    ),
    "inference.detect_task_change": (
        lambda s: lambda model: list(
            inference.detect_task_change(model, [X])
        ),
        [bad(TypeError, "`model` must be a", 3)],
    ),
    "discard_task when none is running": (
        lambda s: s.stored.discard_task,
        [bad(ValueError, "no running task.*'task 0'")],
    ),
    "summary": (
        lambda s: s.stored.summary,
        [bad(TypeError, "nonsense", nonsense=3)],
    ),
    "set_weights": (
        lambda s: s.stored.set_weights,
        [
            bad(TypeError, "`weights` must be a list.*None", None),
            bad(TypeError, "`weights` must be a list.*3", 3),
            bad(ValueError, r"`weights`.*Received the shapes \[\]", []),
            bad(
                ValueError,
                r"`weights`.*\(3, 3\)",
                changed_weights(lambda w: np.zeros((3, 3))),
            ),
            bad(
                ValueError,
                "`weights` has 10 entries",
                changed_weights(lambda w: w * NAN),
            ),
            bad(
                ValueError,
                "`weights` must hold a numeric",
                changed_weights(lambda w: w.astype(str)),
            ),
        ],
    ),
    "save": (
        lambda s: s.stored.save,
        [
            bad(TypeError, "`filepath` must be a path.*None", None),
            bad(TypeError, "`filepath` must be a path.*3", 3),
            bad(ValueError, "`filepath` is empty", ""),
            bad(ValueError, "a.txt", At("a.txt")),
            bad(FileNotFoundError, "none.* does not exist", At("none/a.keras")),
            bad(IsADirectoryError, "is a folder", At("folder.keras")),
        ],
    ),
    "save in the middle of a task": (
        lambda s: s.running.save,
        [
            bad(TypeError, "`filepath` must be a path.*None", None),
            bad(FileNotFoundError, "none.* does not exist", At("none/a.keras")),
            bad(IsADirectoryError, "is a folder", At("folder.keras")),
        ],
    ),
    "load_weights": (
        lambda s: s.stored.load_weights,
        [
            bad(TypeError, "`filepath` must be a path.*None", None),
            bad(TypeError, "`filepath` must be a path.*3", 3),
            bad(ValueError, "`filepath` is empty", ""),
            bad(FileNotFoundError, "none.keras", At("none.keras")),
            bad(IsADirectoryError, "folder.keras", At("folder.keras")),
            bad(ValueError, "junk.keras.*damaged", At("junk.keras")),
            bad(OSError, "open file", At("junk.weights.h5")),
            bad(ValueError, r"shapes \[\(64, 16\)\]", At("other.keras")),
            bad(ValueError, "task.tflite", At("task.tflite")),
        ],
    ),
    "load_weights in the middle of a task": (
        lambda s: s.running.load_weights,
        [
            bad(ValueError, "junk.keras.*damaged", At("junk.keras")),
            bad(ValueError, r"shapes \[\(64, 16\)\]", At("other.keras")),
        ],
    ),
    # The rooms.
    "pruning.MagnitudePruning": (lambda s: pruning.MagnitudePruning, PRUNING),
    "pruning.ScorePruning": (
        lambda s: pruning.ScorePruning,
        PRUNING[:5] + each("score_frequency", (*NO_NUMBERS, 1.5, NAN), (0, -1)),
    ),
    "pruning.FisherPruning": (
        lambda s: pruning.FisherPruning,
        PRUNING[:5] + each("power", NO_NUMBERS, (NAN, -1, 1.5)),
    ),
    "pruning.AdaptiveSparsity": (
        lambda s: pruning.AdaptiveSparsity,
        [
            *each("sparsity", ("a", [1], True, {}), (NAN, INF, -1, 1.0)),
            *each("tolerance", NO_NUMBERS[1:], (NAN, -1, 1.0)),
            *each("effort", NO_NUMBERS, (NAN, INF, 0, -1)),
        ],
    ),
    "pruning.PruningStrategy": (
        lambda s: pruning.PruningStrategy,
        [bad(TypeError, "abstract.*importance")],
    ),
    "pruning.Pruning": (
        lambda s: pruning.Pruning,
        [bad(TypeError, "abstract.*importance")],
    ),
    "pruning.largest": (
        lambda s: pruning.largest,
        [
            *each("count", (None, "a", 1.5, True, NAN), (-1, 65), (X[0],)),
            bad(TypeError, "`values`.*<U32", TEXT, 1),
            bad(ValueError, "`values`.*NaN", X * NAN, 1),
            bad(ValueError, "`available`", X, 1, "a"),
        ],
    ),
    "quantization.AdaptiveCodebook": (
        lambda s: quantization.AdaptiveCodebook,
        [
            *each("tolerance", NO_NUMBERS[1:], (NAN, -1, 1.0)),
            *each("min_width", (*NO_NUMBERS[1:], 1.5, NAN), (0, 9)),
            *each("max_width", (*NO_NUMBERS, 1.5, NAN), (0, 9)),
            *each("codebook", (None, 3, [1]), ("a",)),
            *each("fine_tune_steps", ("a", [1], True, 1.5, NAN), (-1,)),
            *each("learning_rate", NO_NUMBERS, (NAN, INF, 0, -1)),
        ],
    ),
    "quantization.Codebook": (
        lambda s: quantization.Codebook.fit,
        [
            *each("width", (None, "a", 1.5, True), (0,), (X[0],)),
            *each("kind", (), ("bogus",), (X[0], 2)),
            bad(TypeError, "`values`.*object", None, 2),
            bad(TypeError, "`values`.*<U32", TEXT[0], 2),
            bad(ValueError, "`values`.*nan", X[0] * NAN, 2),
        ],
    ),
    "baselines.FineTuning": (
        lambda s: functools.partial(baselines.FineTuning, backbone=mlp()),
        [
            *each("backbone", (None, 3, Dense(3))),
            bad(
                ValueError,
                "`backbone` must declare.*None",
                backbone=keras.Sequential([Dense(3)]),
            ),
            *each("seed", ("a", 1.5)),
        ],
    ),
    "baselines.FineTuning.add_task": (
        lambda s: baselines.FineTuning(mlp()).add_task,
        [
            *each("name", (None, 3), args=(), head=Dense(3)),
            *each("head", (None, "x"), args=("a",)),
        ],
    ),
    "baselines.JointTraining": (
        lambda s: functools.partial(baselines.JointTraining, mlp()),
        each("num_tasks", (None, "3", 1.5), (0, -1)),
    ),
    "baselines.EWC": (
        lambda s: functools.partial(baselines.EWC, mlp(), strength=1.0),
        [
            *each("strength", (None, "3"), (-1.0, INF, NAN)),
            *each("examples", (None, 1.5), (0,)),
        ],
    ),
    "baselines.ExperienceReplay": (
        lambda s: functools.partial(baselines.ExperienceReplay, mlp()),
        each("examples", (None, 1.5), (0,)),
    ),
    "baselines.packnet": (
        lambda s: functools.partial(baselines.packnet, mlp()),
        each("density", (None, "3"), (0.0, 1.5, NAN)),
    ),
    "baselines.wsn": (
        lambda s: functools.partial(baselines.wsn, mlp()),
        each("density", (None, "3"), (0.0, 1.5, NAN)),
    ),
    "baselines.choose_strength": (
        lambda s: functools.partial(
            baselines.choose_strength, make=mlp, tasks=[], strengths=[1.0]
        ),
        [
            *each("make", (None, 3)),
            *each("tasks", (None, 3)),
            *each("strengths", (None, "abc"), ([],)),
            *each("epochs", (None, "3")),
            *each("tolerance", (None, "3")),
        ],
    ),
    "sharing.Always": (
        lambda s: sharing.Always,
        each("own_fraction", *FRACTION) + each("depth", *FRACTION),
    ),
    "sharing.Never": (lambda s: sharing.Never, [bad(TypeError, "x", x=3)]),
    "sharing.Sharing": (
        lambda s: sharing.Sharing,
        [bad(TypeError, "abstract.*choose")],
    ),
    "sharing.ActivationSimilarity": (
        lambda s: sharing.ActivationSimilarity,
        [
            *COMPARISON,
            *each("doubt", NO_NUMBERS, (NAN, -1)),
            *each("trial_steps", (*NO_NUMBERS, 1.5, INF), (0, -1)),
            *each("own_fraction", *FRACTION),
            *each("tasks_per_plane", (*NO_NUMBERS, 1.5, INF), (0, -1)),
            *each("trial_depth", *FRACTION),
        ],
    ),
    "sharing.WarmStart": (
        lambda s: sharing.WarmStart,
        [
            *COMPARISON,
            *each("shrink", *FRACTION),
            *each("latest", NO_FLAGS),
        ],
    ),
    "sharing.PlaneChoice": (
        lambda s: functools.partial(sharing.PlaneChoice, None),
        each("depth", *FRACTION) + each("trial_depth", *FRACTION),
    ),
    "sharing.kl_divergence": (
        lambda s: sharing.kl_divergence,
        [
            bad(TypeError, "`new`.*object", None, X),
            bad(TypeError, "`stored`.*<U", X, "a"),
        ],
    ),
    "sharing.masked_layers": (
        lambda s: lambda layer: sharing.masked_layers(layer, []),
        NO_LAYER,
    ),
    "layers.Subnetwork": (
        lambda s: functools.partial(layers.Subnetwork, Dense(3)),
        [*each("learned_scores", NO_FLAGS), *KERNELS],
    ),
    "layers.Subnetwork of a layer": (
        lambda s: layers.Subnetwork,
        [
            bad(ValueError, "None", None),
            bad(ValueError, "'?d'?", "d"),
            bad(ValueError, "Dense", Dense),
            bad(TypeError, "layer"),
        ],
    ),
    **{
        f"layers.Subnet{kind}": (
            lambda s, kind=kind: getattr(layers, f"Subnet{kind}"),
            [
                bad(RAISES, name, *(0 for _ in range(count))),
                bad(RAISES, name, *(-1 for _ in range(count))),
                *(
                    (error, message, (4,) * count + args, kwargs)
                    for error, message, args, kwargs in [
                        *each("learned_scores", NO_FLAGS),
                        *KERNELS,
                        bad(ValueError, "nonsense", nonsense=1),
                    ]
                ),
            ],
        )
        for kind, name, count in (
            ("Conv1D", "filters|kernel_size", 2),
            ("Conv2D", "filters|kernel_size", 2),
            ("Conv2DTranspose", "filters|kernel_size", 2),
            ("Conv3D", "filters|kernel_size", 2),
            ("Dense", "units", 1),
            ("DepthwiseConv2D", "kernel_size", 1),
            ("Embedding", "input_dim", 2),
            ("GRU", "units", 1),
            ("LSTM", "units", 1),
            ("SeparableConv2D", "filters|kernel_size", 2),
        )
    },
    "layers.SubnetEinsumDense": (
        lambda s: functools.partial(layers.SubnetEinsumDense, "ab,bc->ac", 4),
        [*each("learned_scores", NO_FLAGS), *KERNELS],
    ),
    "layers.KernelRule": (lambda s: layers.KernelRule, KERNELS),
    "layers.KernelRule.find": (
        lambda s: layers.KernelRule().find,
        NO_LAYER,
    ),
    "layers.Heads": (
        lambda s: layers.Heads,
        [*each("heads", (None, 3, "ab")), bad(TypeError, "`head`.*3", [3])],
    ),
    "layers.Heads.add": (lambda s: layers.Heads().add, NO_LAYER),
    "layers.Heads.select": (
        lambda s: layers.Heads([Dense(3)]).select,
        each("index", (), (None, "a", 5, -1)),
    ),
    "layers.Heads of which none is selected": (
        lambda s: layers.Heads([Dense(3)]),
        [bad(ValueError, "None of 1 heads is selected", X)],
    ),
    "layers.subnetworks": (lambda s: layers.subnetworks, NO_LAYER),
    "layers.with_subnetwork": (
        lambda s: lambda layer: layers.with_subnetwork(layer, False, None),
        NO_LAYER,
    ),
    "layers.weight_paths": (lambda s: layers.weight_paths, NO_LAYER),
    "bank.WeightBank": (
        lambda s: bank.WeightBank,
        [bad(ValueError, "1 shapes, 0 paths", [(3, 4)], [])],
    ),
    "bank.WeightBank.load_bytes": (
        lambda s: s.fresh.bank.load_bytes,
        NOT_A_BANK,
    ),
    "bank.WeightBank.load_bytes of another network": (
        lambda s: bank.WeightBank([(3, 3)], ["a"]).load_bytes,
        [
            bad(
                ValueError,
                r"\(64, 32\).*\(3, 3\)",
                At(lambda s: s.bank.to_bytes()),
            )
        ],
    ),
    "bank.WeightBank.add": (
        lambda s: s.bank.add,
        [
            bad(TypeError, "`record`.*None", None),
            bad(TypeError, "`record`.*3", 3),
            bad(ValueError, "'task 0' is in", At(lambda s: s.bank["task 0"])),
        ],
    ),
    "bank.WeightBank.set_base": (
        lambda s: s.bank.set_base,
        [bad(ValueError, "never changes", [])],
    ),
    "bank.WeightBank.used_bits": (
        lambda s: s.bank.used_bits,
        [
            bad(IndexError, "1 kernels.*None", None),
            bad(IndexError, "1 kernels.*5", 5),
            bad(IndexError, "1 kernels.*'a'", "a"),
        ],
    ),
    "bank.WeightBank.own_slots": (
        lambda s: s.bank.own_slots,
        [
            bad(KeyError, "Unknown task 'b'", "b", 0),
            bad(IndexError, "1 kernels.*9", "task 0", 9),
        ],
    ),
    "bank.WeightBank.plane_view": (
        lambda s: s.bank.plane_view,
        [bad(KeyError, "Unknown task 'b'", [0], "b")],
    ),
    **{
        f"bank.WeightBank.{name}": (
            lambda s, name=name: getattr(s.bank, name),
            UNKNOWN_IN_BANK,
        )
        for name in (
            *("__getitem__", "masks", "usage", "used_slots", "effective"),
            "private",
        )
    },
    "bank.pack_codes": (
        lambda s: bank.pack_codes,
        [
            bad(ValueError, "`codes`.*object", None, 2),
            bad(ValueError, "`codes`.*9", [9], 2),
            bad(ValueError, "`codes`.*-1", [-1], 2),
            bad(ValueError, "`codes`.*float64", [0.5], 2),
            *each("width", ("a", None, 1.5, True, NAN), (0, 9), ([1],)),
        ],
    ),
    "bank.unpack_codes": (
        lambda s: bank.unpack_codes,
        [
            bad(ValueError, "`packed`.*object", None, 2, 1),
            bad(ValueError, "`count`.*-1", np.zeros(1, np.uint8), 2, -1),
            bad(TypeError, "`count`.*'a'", np.zeros(1, np.uint8), 2, "a"),
            bad(TypeError, "`width`.*'a'", np.zeros(1, np.uint8), "a", 1),
            bad(ValueError, "`packed`.*10 bytes", np.zeros(1, np.uint8), 2, 40),
        ],
    ),
    "callbacks.TaskTensorBoard": (
        lambda s: callbacks.TaskTensorBoard,
        each("log_dir", (None, 3, [])) + [bad(ValueError, "`log_dir`", "")],
    ),
    "evaluation.AccuracyMatrix": (
        lambda s: evaluation.AccuracyMatrix,
        [
            *each("tasks", (None, 1.5, NAN, {}, True), ("ab", 0, -1, [])),
            bad(ValueError, "`tasks` must name.*'a'", ["a", "a"]),
            bad(TypeError, "`tasks` must be a string.*3", [3, 4]),
        ],
    ),
    "evaluation.AccuracyMatrix.record": (
        lambda s: evaluation.AccuracyMatrix(2).record,
        [
            *each("row", (None, "a", 0.5, True), (2, -1), column=0, value=1.0),
            *each("column", (None, "a", 0.5), (2, -1), row=0, value=1.0),
            *each("value", NO_NUMBERS, (NAN, INF), row=0, column=0),
        ],
    ),
    "evaluation.AccuracyMatrix.evaluate_row": (
        lambda s: functools.partial(
            evaluation.AccuracyMatrix(["task 0"]).evaluate_row
        ),
        [
            bad(TypeError, "`model`.*None", None, At(lambda s: [s.task]), 0),
            bad(TypeError, "`tasks`.*None", STORED, None, 0),
            bad(TypeError, "`tasks`.*'task 0'", STORED, ["task 0"], 0),
            bad(ValueError, "`row`.*0 tasks", STORED, [], 0),
            *(
                bad(
                    error,
                    f"`row`.*{row!r}",
                    STORED,
                    At(lambda s: [s.task]),
                    row,
                )
                for error, row in (
                    (ValueError, 1),
                    (ValueError, -1),
                    (TypeError, "0"),
                    (TypeError, None),
                    (TypeError, 0.0),
                )
            ),
            bad(
                ValueError,
                "`metric` must be one of.*'auc'",
                STORED,
                At(lambda s: [s.task]),
                0,
                "auc",
            ),
        ],
    ),
    "evaluation.BitExactness": (
        lambda s: evaluation.BitExactness,
        each("batch_size", (*NO_NUMBERS, 1.5, NAN), (0, -1)),
    ),
    "evaluation.BitExactness.record": (
        lambda s: evaluation.BitExactness().record,
        [
            bad(TypeError, "`model`.*None", None, "task 0", X),
            bad(TypeError, "`task_name`.*None", STORED, None, X),
            bad(TypeError, "`task_name`.*list", STORED, ["task 0"], X),
            bad(ValueError, "Unknown task 'b'", STORED, "b", X),
            bad(
                TypeError, "`x` must be an array.*None", STORED, "task 0", None
            ),
            bad(TypeError, "`x` must be an array.*'x'", STORED, "task 0", "x"),
            bad(ValueError, "`x` is empty", STORED, "task 0", X[:0]),
            bad(ValueError, r"\(64, 3\)", STORED, "task 0", X[:, :3]),
            bad(ValueError, "tf.data.Dataset", STORED, "task 0", DATASET),
        ],
    ),
    "evaluation.BitExactness.resume": (
        lambda s: evaluation.BitExactness().resume,
        [
            bad(TypeError, "`task_name`.*None", None, X, "a"),
            bad(TypeError, "`x` must be an array.*None", "a", None, "a"),
            bad(TypeError, "`logits_hash`.*3", "a", X, 3),
        ],
    ),
    "evaluation.BitExactness.verify": (
        lambda s: evaluation.BitExactness().verify,
        [bad(TypeError, "`model`.*None", None)],
    ),
    "evaluation.hash_logits": (
        lambda s: evaluation.hash_logits,
        [
            bad(ValueError, "`logits`.*None", None),
            bad(ValueError, "`logits`.*'a'", "a"),
            bad(ValueError, "`logits`.*object", object()),
        ],
    ),
    "evaluation.average_accuracy": (
        lambda s: evaluation.average_accuracy,
        MATRIX + GAPS,
    ),
    "evaluation.backward_transfer": (
        lambda s: evaluation.backward_transfer,
        MATRIX + GAPS,
    ),
    "evaluation.forgetting": (
        lambda s: evaluation.forgetting,
        MATRIX + GAPS,
    ),
    "evaluation.forward_transfer": (
        lambda s: evaluation.forward_transfer,
        MATRIX
        + [
            bad(ValueError, "`single`.*'a'", np.eye(2), "a"),
            bad(ValueError, r"`single`.*\(1,\)", np.eye(2), [1]),
            bad(ValueError, "`single`", np.eye(2), [NAN, NAN]),
            bad(ValueError, "`single`.*inf", np.eye(2), [INF, INF]),
        ],
    ),
    "evaluation.plot_accuracy_matrix": (
        lambda s: evaluation.plot_accuracy_matrix,
        [
            bad(TypeError, "`matrix`.*None", None, At("a.png")),
            bad(TypeError, "`matrix`.*list", [[1.0]], At("a.png")),
            bad(TypeError, "`path`.*3", evaluation.AccuracyMatrix(2), 3),
            bad(ValueError, "`path`", evaluation.AccuracyMatrix(2), ""),
        ],
    ),
    "evaluation.plot_capacity": (
        lambda s: evaluation.plot_capacity,
        [
            bad(TypeError, "`capacity`.*None", None, At("a.png")),
            bad(TypeError, "`capacity`.*{}", {}, At("a.png")),
            bad(
                TypeError,
                "`path`.*None",
                At(lambda s: s.stored.capacity()),
                None,
            ),
        ],
    ),
    "evaluation.plot_accuracy_over_time": (
        lambda s: evaluation.plot_accuracy_over_time,
        [
            bad(TypeError, "`matrix`.*None", None, At("a.png")),
            bad(TypeError, "`path`.*3", evaluation.AccuracyMatrix(2), 3),
        ],
    ),
    "evaluation.plot_occupancy": (
        lambda s: evaluation.plot_occupancy,
        [*NO_BANK, bad(TypeError, "`path`.*None", BANK, None)],
    ),
    "evaluation.plot_mask_overlap": (
        lambda s: evaluation.plot_mask_overlap,
        [*NO_BANK, bad(ValueError, "`path`", BANK, "")],
    ),
    "evaluation.mask_overlap": (
        lambda s: evaluation.mask_overlap,
        each("bank", (None, "a")),
    ),
    "evaluation.plot_accuracy_against_bytes": (
        lambda s: evaluation.plot_accuracy_against_bytes,
        [
            bad(TypeError, "`results` must be a dict.*None", None, At("a.png")),
            bad(ValueError, "'a'.*pair.*0.5", {"a": 0.5}, At("a.png")),
            bad(ValueError, "'a'.*pair.*'ab'", {"a": "ab"}, At("a.png")),
            bad(TypeError, "'a'.*'b'", {"a": ("b", 1)}, At("a.png")),
            bad(ValueError, "'a'.*finite", {"a": (NAN, 1)}, At("a.png")),
            bad(ValueError, "'a'.*above 0", {"a": (0.5, 0)}, At("a.png")),
            bad(ValueError, "`published`.*'no'", {}, At("a.png"), "no"),
            bad(TypeError, "`path`.*3", {}, 3),
        ],
    ),
    "evaluation.write_html_report": (
        lambda s: evaluation.write_html_report,
        [
            bad(TypeError, "`path`.*None", None, {}),
            bad(TypeError, "`report` must be a dict.*None", At("r.html"), None),
            bad(ValueError, "`report` lacks.*tasks", At("r.html"), {}),
            bad(TypeError, "`bank`.*3", At("r.html"), WHOLE_REPORT, 3),
            bad(
                TypeError,
                "`title`.*3",
                At("r.html"),
                WHOLE_REPORT,
                title=3,
            ),
        ],
    ),
    "evaluation.build_report": (
        lambda s: evaluation.build_report,
        with_report(REPORT),
    ),
    "evaluation.write_report": (
        lambda s: evaluation.write_report,
        with_report(REPORT, At("report.json"))
        + with_report(
            [
                *NOT_A_PATH,
                bad(IsADirectoryError, "is a folder", At("folder.png")),
            ]
        ),
    ),
    "evaluation.ScenarioRun": (
        lambda s: functools.partial(
            evaluation.ScenarioRun,
            **{"model": s.stored, "tasks": [s.task], "output_dir": s / "new"},
        ),
        [
            *each("model", (None, "m")),
            *each("tasks", (None, [3], "ab"), ([],)),
            *each("output_dir", (None, 3)),
            *each("metric", (None, 3)),
            *each("resume", NO_FLAGS),
            *each("verbose", (), ("loud", -1, 7, [1])),
        ],
    ),
    "evaluation.ScenarioRun.learn": (
        lambda s: s.run.learn,
        [
            bad(TypeError, "`head`.*None", None),
            bad(TypeError, "`head`.*'x'", "x"),
        ],
    ),
    "evaluation.ScenarioRun.finish": (
        lambda s: s.run.finish,
        [bad(ValueError, "bank is empty", {})],
    ),
    "scenarios.ImageData": (
        lambda s: scenarios.ImageData,
        [
            bad(ValueError, "`train` must be a pair.*NoneType", None, PAIR),
            bad(ValueError, "`test` must be a pair.*int", PAIR, 3),
            bad(ValueError, "`train` must be a pair", (IMAGES,), PAIR),
            bad(ValueError, "3 labels", PAIR, (IMAGES, LABELS[:3])),
            bad(ValueError, "0 images", (IMAGES[:0], LABELS[:0]), PAIR),
            bad(ValueError, "`train`.*NaN", (IMAGES * NAN, LABELS), PAIR),
            bad(ValueError, "<U32", (IMAGES.astype(str), LABELS), PAIR),
            bad(ValueError, "float64", (IMAGES, LABELS * 1.0), PAIR),
            bad(ValueError, "-1 to 0", (IMAGES, LABELS - 1), PAIR),
            *each("num_classes", ("a", 2.5, NAN, True), (), (PAIR, PAIR)),
            bad(ValueError, "num_classes - 1 = 0", PAIR, PAIR, 1),
            *each("class_names", ("abc", 3), ([],), (PAIR, PAIR, 3)),
            bad(
                ValueError,
                "`class_names` has 1 names for 3 classes",
                *(PAIR, PAIR, 3, ["a"]),
            ),
        ],
    ),
    "scenarios.ImageData.from_arrays": (
        lambda s: scenarios.ImageData.from_arrays,
        [
            bad(ValueError, "`train` must be a pair.*NoneType", None, PAIR),
            bad(ValueError, "`test` must be a pair.*int", PAIR, 3),
        ],
    ),
    "scenarios.ImageData.from_tfds": (
        lambda s: scenarios.ImageData.from_tfds,
        each("name", (None, 3)),
    ),
    "scenarios.from_image_folders": (
        lambda s: scenarios.from_image_folders,
        [
            *each("path", (None, 3)),
            bad(ValueError, "There is no folder.*nowhere", "nowhere"),
            bad(ValueError, "folder.keras' is empty", EMPTY),
            bad(ValueError, "`color_mode`.*'grey'", EMPTY, (4, 4), "grey"),
            bad(TypeError, "`image_size`.*3", EMPTY, 3),
            bad(ValueError, "`image_size`.*0", EMPTY, (0, 4)),
        ],
    ),
    "scenarios.from_datasets": (
        lambda s: scenarios.from_datasets,
        [
            *each("tasks", (None, 3, ["a"])),
            bad(ValueError, "`tasks` is an empty dict", {}),
            bad(TypeError, "Task 'a' must be a pair.*None", {"a": None}),
            bad(TypeError, "`class_names`.*3", {"a": PAIR}, class_names=3),
            bad(TypeError, "`num_classes`.*'2'", {"a": PAIR}, num_classes="2"),
            bad(ValueError, "`batch_size`.*0", {"a": PAIR}, 0),
            bad(ValueError, "`seed`.*-1", {"a": PAIR}, seed=-1),
            bad(
                ValueError,
                "`class_names` of task 'a' has 3 names for 2 classes",
                {"a": PAIR},
                class_names={"a": ["x", "y", "z"]},
                num_classes=2,
            ),
        ],
    ),
    "scenarios.from_tfds": (
        lambda s: scenarios.from_tfds,
        [
            *each("names", (None, 3, "mnist")),
            bad(TypeError, "`names` must be a string.*3", [3]),
            bad(ValueError, "`names` is empty", []),
            bad(TypeError, "`map`.*3", ["mnist"], map=3),
            bad(ValueError, "has no 'mnst'.*'mnist'", ["mnst"]),
        ],
    ),
    "scenarios.PermutedPixels": (
        lambda s: scenarios.PermutedPixels,
        SPLIT
        + of_images(
            [
                *each("num_tasks", (), (None, "a", 1.5, NAN, 0, -1, True)),
                *each("seed", (), (None, "a", 1.5, -1)),
                *each("batch_size", (), (None, "a", 1.5, 0, -1)),
                *each("validation_split", NO_NUMBERS, (NAN, 0, 1, -1)),
                *each("flatten", NO_FLAGS),
            ]
        ),
    ),
    "scenarios.PermutedPixels.permutation": (
        lambda s: scenarios.PermutedPixels(image_data()).permutation,
        each("index", (), (None, "a", 1.5, -1)),
    ),
    "scenarios.Scenario": (
        lambda s: scenarios.PermutedPixels(image_data()).__getitem__,
        [
            bad(TypeError, "by its number.*None", None),
            bad(TypeError, "by its number.*'a'", "a"),
            bad(TypeError, "by its number.*1.5", 1.5),
            bad(IndexError, "Task 10 does not", 10),
            bad(IndexError, "Task -11 does not", -11),
        ],
    ),
    "scenarios.RotatedImages": (
        lambda s: scenarios.RotatedImages,
        of_images(
            [
                *each("angles", (None, 3, "12"), ([], [NAN], [INF], [0, 0])),
                bad(TypeError, "`angles`.*None", [None]),
                bad(TypeError, "`angles`.*'a'", ["a"]),
            ]
        ),
    ),
    "scenarios.ClassSplits": (
        lambda s: scenarios.ClassSplits,
        of_images(
            [
                bad(ValueError, "both None"),
                *each("num_tasks", (), ("a", 1.5, 0, True)),
                *each("classes_per_task", (), ("a", 0)),
                bad(ValueError, "`num_tasks=3`", 3),
                *each("class_order", (3, "01"), ([],), num_tasks=2),
                bad(TypeError, "`class_order`.*0.5", 2, class_order=[0.5, 1]),
                bad(TypeError, "`class_order`.*None", 2, class_order=[None]),
                bad(
                    ValueError, r"unknown classes \[5\]", 2, class_order=[0, 5]
                ),
                *each("seed", (), ("a", 1.5, -1), num_tasks=2),
            ]
        ),
    ),
    "lite.export_task": (lambda s: lite.export_task, EXPORT),
    "lite.export_dense": (
        lambda s: lite.export_dense,
        [
            *LITERT,
            bad(ValueError, "no task", At(lambda s: s.fresh), At("a.tflite")),
            bad(ValueError, "no task", At(lambda s: s.unbuilt), At("a.tflite")),
        ],
    ),
    "lite.export_bundle": (lambda s: lite.export_bundle, BUNDLE),
    "lite.export_micro_bundle": (
        lambda s: lite.export_micro_bundle,
        MICRO_BUNDLE,
    ),
    "lite.MicroRunner": (
        lambda s: lite.MicroRunner,
        [
            *READ_A_FILE,
            *each("arena", ("a", 1.5), (0, -3), (At("task.tflite"),)),
            bad(lite.ExportError, "CUMSUM", At("bundle.tflite")),
        ],
    ),
    "lite.TaskRunner": (
        lambda s: lite.TaskRunner,
        [
            *READ_A_FILE,
            bad(ValueError, "no bundle", At("model.keras")),
            *each(
                "num_threads",
                ("a", 1.5, True),
                (0, -3),
                (At("bundle.tflite"),),
            ),
            *each("xnnpack", NO_FLAGS, (), (At("bundle.tflite"),)),
        ],
    ),
    "lite.read_task_metadata": (
        lambda s: lite.read_task_metadata,
        [
            *READ_A_FILE,
            bad(ValueError, "does not say.*export_task", At("bundle.tflite")),
        ],
    ),
    "lite.TaskRunner.select": (
        lambda s: s.asleep.select,
        [
            bad(ValueError, "Unknown task '?None'?.*'task 0'", None),
            bad(ValueError, "Unknown task 'b'.*'task 0'", "b"),
        ],
    ),
    "lite.TaskRunner.predict before select": (
        lambda s: s.asleep.predict,
        [bad(ValueError, "No task is selected.*'task 0'", X)],
    ),
    "lite.TaskRunner.predict": (
        lambda s: s.runner.predict,
        [
            bad(RAISES, "`x`", None),
            bad(RAISES, "`x`", "x"),
            bad(RAISES, "`x`", {}),
            bad(RAISES, r"`x`.*\(64, 3\)", X[:, :3]),
            bad(RAISES, r"`x`.*\(0, 64\)", X[:0]),
            bad(RAISES, "`x`", [X, X]),
        ],
    ),
    "lite.copy_runner": (
        lambda s: lite.copy_runner,
        [
            bad(TypeError, "`folder`.*None", None),
            bad(NotADirectoryError, "`folder`.*none", At("none")),
            bad(NotADirectoryError, "`folder`.*task", At("task.tflite")),
            bad(FileExistsError, "runner.py.*of your own", At("own")),
        ],
    ),
    "lite.run_file": (
        lambda s: lambda path, x=X, **kwargs: lite.run_file(path, x, **kwargs),
        [
            *READ_A_FILE,
            bad(RAISES, "`x`", At("task.tflite"), None),
            bad(RAISES, r"`x`.*\(64, 3\)", At("task.tflite"), X[:, :3]),
            bad(RAISES, r"`x`.*\(0, 64\)", At("task.tflite"), X[:0]),
            *each("xnnpack", NO_FLAGS, (), (At("task.tflite"),)),
        ],
    ),
    "lite.verify_file": (
        lambda s: lite.verify_file,
        [
            bad(
                TypeError, "`model`.*None", None, At("task.tflite"), X, "task 0"
            ),
            bad(TypeError, "`path`.*None", STORED, None, X, "task 0"),
            bad(ValueError, "junk", STORED, At("junk.tflite"), X, "task 0"),
            bad(
                TypeError,
                "`x`.*None",
                STORED,
                At("task.tflite"),
                None,
                "task 0",
            ),
            bad(
                ValueError,
                "Unknown task 'b'",
                STORED,
                At("task.tflite"),
                X,
                "b",
            ),
            bad(TypeError, "`task`.*3", STORED, At("task.tflite"), X, 3),
        ],
    ),
    "lite.make_interpreter": (
        lambda s: lite.make_interpreter,
        [
            *CONTENT,
            *each("num_threads", ("a", 1.5), (0,), (At(lambda s: s.content),)),
            *each("xnnpack", NO_FLAGS, (), (At(lambda s: s.content),)),
        ],
    ),
    "lite.operators": (lambda s: lite.operators, CONTENT),
    "lite.check_microcontroller": (
        lambda s: lite.check_microcontroller,
        CONTENT,
    ),
    "lite.export_c_array": (
        lambda s: lite.export_c_array,
        [
            *READ_A_FILE,
            *each("name", (3,), ("", "1x"), (At("task.tflite"),)),
            bad(lite.ExportError, "CUMSUM", At("bundle.tflite")),
        ],
    ),
    "lite.benchmark": (
        lambda s: lite.benchmark,
        [
            *each("paths", (None, 3)),
            bad(TypeError, "`paths` must be a list", At("task.tflite")),
            *(
                bad(error, message, [path])
                for error, message, (path,), _ in READ_A_FILE[:3]
            ),
            bad(ValueError, "junk", At(lambda s: [s / "junk.tflite"])),
            *each(
                "repetitions",
                COUNTS,
                (0, -1),
                (At(lambda s: [s / "task.tflite"]),),
            ),
            *each(
                "num_threads",
                ("a", 1.5),
                (0,),
                (At(lambda s: [s / "task.tflite"]),),
            ),
            *each(
                "open_size",
                COUNTS,
                (0, -1),
                (At(lambda s: [s / "task.tflite"]),),
            ),
            *each(
                "xnnpack", NO_FLAGS, (), (At(lambda s: [s / "task.tflite"]),)
            ),
        ],
    ),
}
# Records that others return, and functions of arrays for use within.
NOT_CALLED = {
    "baselines": "Baseline BaselineReport SeparateNetworks",
    "bank": "BudgetError Capacity Component ComponentDraft DamagedFileError "
    "KernelUsage "
    "PlaneView PrivateCode TaskRecord widest_width",
    "inference": "InferredTasks Known candidates get_scores known_of learned "
    "portable "
    "needs_outputs",
    "layers": "MaskedKernel assign call_given computing_with "
    "computing_with_own_values counting_parameters given_value "
    "has_given_values "
    "is_named_as_kernel read signature with_quick_averages without_noise",
    "lite": "Agreement BundleReport ExportError ExportReport Measurement "
    "MicroFigures MicroReport Samples packed_bytes verify_content",
    "pruning": "MaskUpdates Progress PruningScheduleCallback TaskMask "
    "check_second_moments has_second_moments kept_slots loss_of "
    "rank_together refine second_moment",
    "quantization": "CentroidTuning code_bits place_all "
    "search_private_widths search_widths widen_worst",
    "scenarios": "ImageFolders ImageScenario Task",
    "sharing": "Nearest activation_statistics compare",
}


def quiet(method):
    """Lets a method print nothing, unless it is told to."""

    def call(*args, **kwargs):
        return method(*args, **{"verbose": 0, **kwargs})

    return call


class BadCallsTest(parameterized.TestCase):
    @parameterized.named_parameters(
        (re.sub(r"\W+", "_", name), name) for name in TABLE
    )
    def test_bad_calls(self, name):
        make, rows = TABLE[name]
        s = stage()
        before = s.state()
        call = make(s)
        for error, message, args, kwargs in rows:
            args = list(map(given, args))
            kwargs = {key: given(value) for key, value in kwargs.items()}
            with self.subTest(message=message):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    pattern = re.compile(message, re.DOTALL)
                    with self.assertRaisesRegex(error, pattern) as caught:
                        call(*args, **kwargs)
                self.assertNotRegex(str(caught.exception), OBSCURE)
        after = s.state()
        changed = [key for key in before if before[key] != after[key]]
        self.assertEmpty(changed, name)

    def test_every_public_name_is_in_the_table(self):
        called = {".".join(name.split()[0].split(".")[:2]) for name in TABLE}
        rooms = bank, baselines, callbacks, evaluation, layers, lite, pruning
        missing = []
        for room in (*rooms, inference, quantization, scenarios, sharing):
            short = room.__name__.partition(".")[2]
            known = NOT_CALLED.get(short, "").split()
            missing += [
                f"{short}.{name}"
                for name, value in vars(room).items()
                if callable(value)
                and not name.startswith("_")
                and f"{short}.{name}" not in called
                and name not in known
            ]
        self.assertEmpty(missing)
