"""Tests that bad input changes nothing and says what to do."""

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    fit,
    learn,
    logits,
    make_model,
    mlp,
)

X, Y = digits(1, TRAIN)


def with_entry(array, value, index=-1):
    array = array.copy()
    array[index] = value
    return array


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)


def named():
    """Batches as TensorFlow Datasets gives them, without tuples."""
    examples = {"image": X, "label": Y, "id": Y}
    return tf.data.Dataset.from_tensor_slices(examples).batch(32)


NAN_X = with_entry(X, np.nan)
EMPTY = X[:0], Y[:0]
BAD_DATA = {
    "label too large": ((X, with_entry(Y, 10)), ValueError, "Label 10 .*Renum"),
    "negative label": ((X, with_entry(Y, -1)), ValueError, "Label -1 .*Renum"),
    "label in a dataset": (
        (batches(X, with_entry(Y, 12)),),
        ValueError,
        "label value of 12.*Renumber",
    ),
    "label in the first batch": (
        (batches(X, with_entry(Y, 12, 0)),),
        ValueError,
        "Label 12 .*Renumber",
    ),
    "nan": ((NAN_X, Y), ValueError, "`x` has 64 entries .* NaN.*Remove"),
    "infinite label": (
        (X, with_entry(np.float32(Y), np.inf)),
        ValueError,
        "`y` has 1 entries",
    ),
    "nan in a dataset": (
        (batches(NAN_X, Y),),
        FloatingPointError,
        "(NaN|loss is nan).*Lower the learning rate",
    ),
    "empty": (EMPTY, ValueError, "training data are empty"),
    "empty dataset": ((batches(*EMPTY),), ValueError, "data are empty"),
    "width": ((X[:, :60], Y), ValueError, r"\(None, 64\).*\(400, 60\).*Resha"),
    "axes": ((X[:, None], Y), ValueError, r"received \(400, 1, 64\)"),
    "width in a dataset": (
        (batches(X[:, :60], Y),),
        ValueError,
        r"received \(32, 60\)",
    ),
    "two inputs": (([X, X], Y), ValueError, "takes 1 inputs. Received: 2"),
    "numbers of rows": ((X, Y[:-1]), ValueError, "cardinality"),
    "sparse matrix": (
        (scipy.sparse.csr_matrix(X), Y),
        TypeError,
        r"`x` .*csr_matrix of shape \(400, 64\).*toarray",
    ),
    "text": ((X.astype(str), Y), TypeError, "`x` must hold numbers.*<U32"),
    "objects": ((X.astype(object), Y), TypeError, "`x` .*object.*astype"),
    "names for labels": (
        (X, Y.astype(str)),
        TypeError,
        "`y` must hold numbers.*np.unique",
    ),
    "names in a dataset": (
        (batches(X, Y.astype(str)),),
        TypeError,
        "`y` has text for labels.*StringLookup",
    ),
    "no labels": ((X,), ValueError, "have no labels.*Give `y`"),
    "labels in a dict": (
        (named(),),
        ValueError,
        r"no labels.*element\['image'\], element\['label'\]",
    ),
    "floats for names": ((Y.astype(str), Y), TypeError, "`x` must hold numb"),
}
BAD_VALIDATION = {
    "none": (None, "needs `validation_data`.*None"),
    "empty": (EMPTY, "`validation_data` is empty"),
    "one class": ((X, np.ones_like(Y)), "`validation_data` has .*one class"),
    "empty dataset": (batches(*EMPTY), "`validation_data` is empty"),
    "nan": ((NAN_X, Y), "`validation_data` has 64 entries"),
    "nan in a dataset": (batches(NAN_X, Y), "`validation_data` has 64"),
    "label": ((X, with_entry(Y, 10)), "Label 10 .*Renumber"),
    "label in a dataset": (batches(X, with_entry(Y, 10)), "Label 10 "),
    "width": ((X[:, :60], Y), r"\(None, 64\)"),
    "text": ((X, Y.astype(str)), "must hold numbers.*np.unique"),
    "text in a dataset": (batches(X, Y.astype(str)), "text for labels"),
    "no labels": (batches(X, Y).map(lambda x, y: x), "have no labels"),
    "labels in a dict": (named(), r"element\['label'\]"),
    "path": ("images", "must be what `fit` takes.*'images'"),
    "endless": (batches(X, Y).repeat(), r"never ends.*take\(10\)"),
}


def cases(table):
    return [(name.replace(" ", "_"), name) for name in table]


class Unscheduled(tsn_keras.pruning.PruningStrategy):
    """Neither has a schedule nor finds a sparsity."""

    def target(self, path):
        return 0.5

    def importance(self, mask):
        return mask.own


class BadInputTest(parameterized.TestCase):
    """One model with a consolidated task meets everything that is wrong."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model()
        learn(cls.model, 0)
        cls.logits = logits(cls.model, 0)

    def tearDown(self):
        np.testing.assert_array_equal(logits(self.model, 0), self.logits)
        super().tearDown()

    def running(self):
        """Begins a new task, if none is running."""
        name = f"task {len(self.model.bank.tasks)}"
        if name not in self.model.tasks:
            self.model.add_task(name, head=keras.layers.Dense(10))

    @parameterized.named_parameters(*cases(BAD_DATA))
    def test_fit(self, case):
        arguments, error, message = BAD_DATA[case]
        self.running()
        before = self.model.bank.to_bytes()
        with self.assertRaisesRegex(error, message):
            self.model.fit(*arguments, verbose=0)
        self.assertFalse(self.model.running_task.begun)
        self.assertEqual(self.model.bank.to_bytes(), before)
        accuracy = fit(self.model, 1, epochs=3).history["accuracy"]
        self.assertGreater(accuracy[-1], 0.4)
        trained = self.model.predict(X, verbose=0)
        with self.assertRaisesRegex(error, message):
            self.model.fit(*arguments, verbose=0)
        # What was trained before is not lost.
        found = self.model.predict(X, verbose=0)
        np.testing.assert_array_equal(found, trained)
        consolidate(self.model, 1)

    @parameterized.named_parameters(*cases(BAD_VALIDATION))
    def test_consolidate(self, case):
        data, message = BAD_VALIDATION[case]
        self.running()
        if not self.model.running_task.begun:
            fit(self.model, 1)
        before = self.model.bank.to_bytes()
        x, _ = digits(1, VALIDATION)
        trained = self.model.predict(x, verbose=0)
        masks = [mask.mask for mask in self.model.running_task.masks]
        with self.assertRaisesRegex((TypeError, ValueError), message):
            self.model.consolidate(data, verbose=0)
        self.assertEqual(self.model.bank.to_bytes(), before)
        found = self.model.predict(x, verbose=0)
        np.testing.assert_array_equal(found, trained)
        for mask, one in zip(self.model.running_task.masks, masks):
            np.testing.assert_array_equal(mask.mask, one)

    def test_unknown_monitor(self):
        self.running()
        fit(self.model, 1)
        message = r"one of \['accuracy', 'loss'\]. Received: monitor='auc'"
        with self.assertRaisesRegex(ValueError, message):
            consolidate(self.model, 1, monitor="auc")
        consolidate(self.model, 1, monitor="loss")

    def test_consolidate_without_training_or_twice(self):
        if self.model.running_task is not None:
            fit(self.model, 1)
            consolidate(self.model, 1)
        message = "consolidated already.*add_task"
        with self.assertRaisesRegex(ValueError, message):
            consolidate(self.model, 1)
        self.running()
        with self.assertRaisesRegex(ValueError, "not been trained.*model.fit"):
            consolidate(self.model, 1)

    def test_unknown_task(self):
        x, y = digits(0, VALIDATION)
        message = r"Unknown task 'b'. The model holds: \['task 0'"
        with self.assertRaisesRegex(ValueError, f"{message}.*add_task\\('b'"):
            self.model.fit(x, y, task="b")
        calls = (
            lambda: self.model.evaluate(x, y, task="b"),
            lambda: self.model.predict(x, task="b"),
            lambda: self.model.export("b.tflite", format="litert", task="b"),
            lambda: self.model.export("b", task="b"),
            lambda: self.model.task("b"),
            lambda: self.model.report("b"),
        )
        # Those who serve a model do not want to learn a task.
        message = f"{message}.*these names.*load_model"
        for call in calls:
            with self.assertRaisesRegex(ValueError, message) as caught:
                call()
            self.assertNotIn("add_task", str(caught.exception))
        with self.assertRaisesRegex(ValueError, "Did you mean 'task 0'"):
            self.model.predict(x, task="task0")
        with self.assertRaisesRegex(ValueError, r"Unknown task 'b'"):
            self.model.report("b")

    def test_fit_a_consolidated_task(self):
        x, y = digits(0, TRAIN)
        with self.assertRaisesRegex(ValueError, "'task 0' is consolidated"):
            self.model.fit(x, y, task="task 0")

    def test_add_task(self):
        dense = keras.layers.Dense(10)
        with self.assertRaisesRegex(ValueError, "named 'task 0' already"):
            self.model.add_task("task 0", head=dense)
        for name in ("", None, 3):
            with self.assertRaisesRegex(ValueError, "non-empty string"):
                self.model.add_task(name, head=dense)
        self.running()
        running = self.model.tasks[-1]
        with self.assertRaisesRegex(ValueError, f"named '{running}' already"):
            self.model.add_task(running, head=dense)
        message = f"'{running}' is still running.*consolidate.*'new'"
        with self.assertRaisesRegex(ValueError, message):
            self.model.add_task("new", head=dense)

    def test_heads(self):
        if self.model.running_task is not None:
            fit(self.model, 1)
            consolidate(self.model, 1)
        with self.assertRaisesRegex(TypeError, "keras.layers.Layer.*10"):
            self.model.add_task("new", head=10)
        message = r"features of shape \[\(None, 32\)\].*another head"
        with self.assertRaisesRegex(ValueError, message):
            self.model.add_task("new", head=keras.layers.Conv2D(3, 3))
        self.assertNotIn("new", self.model.tasks)


class FreshModelTest(parameterized.TestCase):
    def test_fit_before_compile(self):
        model = tsn_keras.ContinualModel(mlp())
        with self.assertRaisesRegex(ValueError, "compile"):
            model.fit(X, Y)
        model.add_task("a", keras.layers.Dense(10))
        with self.assertRaisesRegex(ValueError, "compile"):
            model.fit(X, Y)

    def test_fit_without_optimizer(self):
        model = make_model()
        model.compile(optimizer=None, loss="sparse_categorical_crossentropy")
        model.add_task("a", keras.layers.Dense(10))
        with self.assertRaisesRegex(ValueError, "optimizer=None"):
            model.fit(X, Y)

    def test_without_a_task(self):
        model = make_model()
        calls = (
            lambda: model.fit(X, Y),
            lambda: model.predict(X),
            lambda: model.evaluate(X, Y),
            lambda: model.consolidate((X, Y)),
            lambda: model(X),
            lambda: model.export("a.tflite", format="litert"),
        )
        for call in calls:
            with self.assertRaisesRegex(ValueError, "add_task"):
                call()
        with self.assertRaisesRegex(ValueError, "bank is empty"):
            model.capacity()

    def test_before_training(self):
        model = make_model()
        model.add_task("a", keras.layers.Dense(10))
        calls = (
            lambda: model.predict(X),
            lambda: model.evaluate(X, Y),
            lambda: model.train_on_batch(X, Y),
        )
        for call in calls:
            with self.assertRaisesRegex(ValueError, "model.fit"):
                call()

    def test_diverging_loss(self):
        sgd = keras.optimizers.SGD(1e30)
        model = make_model(optimizer=sgd)
        start = np.array(model.switch.kernels[0].kernel)
        with self.assertRaisesRegex(FloatingPointError, "loss is .*clipnorm"):
            begin(model)
        kernel = np.array(model.switch.kernels[0].kernel)
        np.testing.assert_array_equal(kernel, start)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        adam = keras.optimizers.Adam(0.01)
        model.compile(adam, loss, metrics=["accuracy"])
        self.assertGreater(fit(model, epochs=4).history["accuracy"][-1], 0.4)
        consolidate(model)

    @parameterized.parameters("magnitude", "scores", None)
    def test_nan_that_a_relu_hides_from_the_loss(self, pruning):
        data = batches(with_entry(X, np.nan, 0)[::-1], Y)
        model = make_model(pruning=pruning)
        model.add_task("a", keras.layers.Dense(10))
        with self.assertRaisesRegex(FloatingPointError, "Kernel|loss is"):
            model.fit(data, verbose=0)
        self.assertFalse(model.running_task.begun)

    def test_terminate_on_nan_ends_quietly_with_the_task_as_it_was(self):
        model = make_model()
        model.add_task("a", keras.layers.Dense(10))
        stop = keras.callbacks.TerminateOnNaN()
        weights = with_entry(np.ones(len(Y), np.float32), np.nan)
        data = tf.data.Dataset.from_tensor_slices((X, Y, weights)).batch(32)
        with self.assertWarnsRegex(UserWarning, "as it was before `fit`"):
            history = model.fit(data, callbacks=[stop], verbose=0)
        self.assertTrue(np.isnan(history.history["loss"][-1]))
        model.fit(X, Y, verbose=0)
        consolidate(model, number=1)

    def test_discarded_task_leaves_no_trace(self):
        model = make_model()
        learn(model)
        stored, before = model.bank.to_bytes(), logits(model)
        begin(model, number=1)
        model.discard_task()
        self.assertEqual(model.tasks, ("task 0",))
        self.assertEqual(model.bank.to_bytes(), stored)
        np.testing.assert_array_equal(logits(model), before)
        learn(model, number=1)
        with self.assertRaisesRegex(ValueError, "no running task.*task 0"):
            model.discard_task()

    @parameterized.parameters("magnitude", "scores")
    def test_discarded_first_task_leaves_no_trace(self, pruning):
        stored = []
        for discards in (False, True):
            keras.utils.set_random_seed(0)
            model = make_model(pruning=pruning, seed=1)
            if discards:
                begin(model)
                model.discard_task()
            learn(model)
            stored.append(model.bank.to_bytes())
        self.assertEqual(*stored)

    def test_other_errors_leave_what_was_trained(self):
        def full_disk(epoch, logs):
            raise OSError("disk is full")

        callback = keras.callbacks.LambdaCallback(on_epoch_end=full_disk)
        model = make_model()
        with self.assertRaisesRegex(OSError, "disk"):
            begin(model, callbacks=[callback])
        consolidate(model)

    def test_backbone(self):
        with self.assertRaisesRegex(TypeError, "keras.layers.Layer.*42"):
            tsn_keras.ContinualModel(42)
        flat = keras.Sequential([keras.Input((4, 2)), keras.layers.Flatten()])
        with self.assertRaisesRegex(ValueError, "no maskable kernels.*Dense"):
            tsn_keras.ContinualModel(flat)
        model = make_model(keras.layers.Flatten())
        model.add_task("a", keras.layers.Dense(10))
        with self.assertRaisesRegex(ValueError, "no maskable kernels.*Dense"):
            model.fit(X, Y)

    @parameterized.parameters("line\n", "a\0b", "\ud800", "\u200d\x7f")
    def test_names_that_no_file_can_hold(self, name):
        model = make_model()
        with self.assertRaisesRegex(ValueError, "control characters"):
            model.add_task(name, keras.layers.Dense(10))
        self.assertEqual(model.tasks, ())

    @parameterized.parameters(
        ({"pruning": "magnitud"}, ValueError, "'scores'.*pruning='magnitud'"),
        ({"pruning": "never"}, ValueError, "`pruning` must be"),
        ({"quantization": "int8"}, ValueError, "'adaptive'.*'int8'"),
        ({"sharing": "adaptive"}, ValueError, "'always', 'never'.*'adaptive'"),
        ({"pruning": 0.5}, TypeError, "must be a Pruning.*pruning=0.5"),
        ({"pruning": Unscheduled()}, TypeError, "Pruning or AdaptiveSparsity"),
        ({"quantization": 4}, TypeError, "AdaptiveCodebook.*=4"),
        ({"sharing": tsn_keras.sharing.Always}, TypeError, "be a Sharing"),
    )
    def test_strategies(self, arguments, error, message):
        with self.assertRaisesRegex(error, message):
            tsn_keras.ContinualModel(mlp(), **arguments)

    @parameterized.parameters(-0.1, 1.0, 95, float("nan"))
    def test_sparsity_out_of_range(self, value):
        for sparsity in (value, {".*": value}):
            with self.assertRaisesRegex(ValueError, f"fraction.*{value}"):
                tsn_keras.pruning.MagnitudePruning(sparsity)

    @parameterized.parameters(-0.1, 1.0, float("nan"))
    def test_tolerance_out_of_range(self, tolerance):
        message = f"`tolerance` must be in .*{tolerance}"
        for strategy in (
            tsn_keras.pruning.MagnitudePruning,
            tsn_keras.quantization.AdaptiveCodebook,
        ):
            with self.assertRaisesRegex(ValueError, message):
                strategy(tolerance=tolerance)

    def test_learned_scores_must_fit(self):
        backbone = tsn_keras.layers.Subnetwork(mlp(), learned_scores=True)
        with self.assertRaisesRegex(ValueError, "learned_scores=True"):
            tsn_keras.ContinualModel(backbone, pruning="magnitude")

    def test_the_advice_about_labels_works(self):
        text = Y.astype(str)
        names, numbers = np.unique(text, return_inverse=True)
        np.testing.assert_array_equal(numbers, Y)
        lookup = keras.layers.StringLookup(vocabulary=names, num_oov_indices=0)
        model = make_model()
        model.add_task("a", keras.layers.Dense(10))
        data = batches(X, text).map(lambda x, y: (x, lookup(y)))
        model.fit(data, verbose=0)
        model.discard_task()
        model.add_task("b", keras.layers.Dense(10))
        data = named().map(lambda e: (e["image"], e["label"]))
        model.fit(data, verbose=0)

    def test_ignored_labels_are_no_error(self):
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=-1
        )
        model = make_model(loss=loss)
        model.add_task("a", keras.layers.Dense(10))
        model.fit(X, with_entry(Y, -1), verbose=0)
