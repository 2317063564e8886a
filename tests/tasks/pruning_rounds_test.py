"""Tests of how consolidation finds the sparsity that a task's data bear."""

import warnings
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    everything,
    fit,
    learn,
    logits,
    make_model,
    mlp,
    reloaded,
)
from tsn_keras.pruning import AdaptiveSparsity, MagnitudePruning
from tsn_keras.tasks.quality import Validation


def sparsity(report):
    """Returns the part of all slots that a report says are left out."""
    slots = report.own.values(), report.sparsity.values()
    sizes = [own / (1 - part) for own, part in zip(*slots)]
    return 1 - sum(report.own.values()) / sum(sizes)


def default_model(**arguments):
    arguments = {"pruning": AdaptiveSparsity(), **arguments}
    return make_model(**arguments)


class ContractTest(parameterized.TestCase):
    def test_fit_trains_the_dense_network_as_plain_keras(self):
        model = tsn_keras.ContinualModel(mlp(), sharing=None, seed=3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        model.add_task("a", keras.layers.Dense(10))
        x, y = digits(0, TRAIN)
        model.fit(x, y, epochs=1, verbose=0)
        start = [np.array(k.kernel) for k in model.switch.kernels]
        plain = keras.Sequential([mlp(), keras.layers.Dense(10)])
        plain.compile("adam", loss)
        plain.set_weights([*start, *model.switch.private_values()])
        plain.optimizer.build(plain.trainable_variables)
        for mask in model.running_task.masks:
            self.assertTrue(mask.own.all())
        np.testing.assert_allclose(
            plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
        )

    @parameterized.parameters(0.002, 0.01, 0.1)
    def test_no_more_is_lost_than_allowed(self, tolerance):
        model = default_model(tolerance=tolerance)
        begin(model, epochs=15)
        x, y = digits(0, VALIDATION)
        before = model.evaluate(x, y, verbose=0)[1]
        report = consolidate(model)
        self.assertAlmostEqual(report.quality_before, before, places=5)
        self.assertLessEqual(report.allowed_loss, tolerance)
        self.assertEqual(report.kept, report.loss <= report.allowed_loss)
        if tolerance > 0.005:
            # One of the 200 examples.
            self.assertTrue(report.kept)
            self.assertGreater(sparsity(report), 0.4)
        after = model.evaluate(x, y, verbose=0)[1]
        self.assertAlmostEqual(report.quality_after, after, places=5)

    def test_a_larger_tolerance_takes_no_more_bytes(self):
        taken = []
        for tolerance in (0.0, 0.1):
            model = default_model(tolerance=tolerance)
            learn(model, epochs=12)
            taken.append(len(model.bank.to_bytes()))
        self.assertLess(taken[1], taken[0])

    @parameterized.parameters(1.0, 1000.0)
    def test_the_tolerance_of_an_error_is_a_part_of_it(self, scale):
        """The unit of the targets does not count."""
        x, y = digits(0, slice(0, 600))
        targets = np.float32(scale * x[:, :4].sum(axis=1, keepdims=True))
        # Four bits are too few for some.
        model = default_model(quantization="adaptive")
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.add_task("a", keras.layers.Dense(1))
        model.fit(x[TRAIN], targets[TRAIN], epochs=20, verbose=0)
        data = x[VALIDATION], targets[VALIDATION]
        before = model.evaluate(*data, verbose=0)
        report = model.consolidate(data, verbose=0)
        self.assertAlmostEqual(report.allowed_loss / before, 0.01, places=3)
        self.assertLess(model.evaluate(*data, verbose=0), 1.0101 * before)

    def test_what_cannot_be_held_is_said(self):
        model = default_model(
            quantization=tsn_keras.quantization.AdaptiveCodebook(
                min_width=1, max_width=1, fine_tune_steps=0
            ),
            tolerance=0.0,
        )
        begin(model, epochs=12)
        with self.assertWarnsRegex(UserWarning, "0.* lost, where 0.0000 may"):
            report = consolidate(model, monitor="loss")
        self.assertFalse(report.kept)
        self.assertRegex(report.warnings[0], "^Over-quantized")

    @parameterized.parameters(-0.1, 1.0, float("nan"), "much", None)
    def test_bad_tolerances(self, tolerance):
        with self.assertRaisesRegex(
            (TypeError, ValueError), f"`tolerance` must be .*{tolerance}"
        ):
            tsn_keras.ContinualModel(mlp(), tolerance=tolerance)

    def test_it_is_saved(self):
        model = default_model(tolerance=0.03)
        learn(model)
        loaded = reloaded(model)
        self.assertEqual(loaded.tolerance, 0.03)
        self.assertIsInstance(loaded.pruning, AdaptiveSparsity)


class RoundsTest(parameterized.TestCase):
    def test_a_fixed_sparsity(self):
        model = default_model(pruning=AdaptiveSparsity(sparsity=0.9))
        report = learn(model)
        self.assertAlmostEqual(sparsity(report), 0.9, places=2)

    def test_early_stopping_keeps_its_meaning(self):
        model = default_model()
        stop = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=1, restore_best_weights=True
        )
        validation = digits(0, VALIDATION)
        history = begin(
            model, epochs=40, validation_data=validation, callbacks=[stop]
        )
        report = consolidate(model)
        best = int(np.argmin(history.history["val_loss"]))
        self.assertAlmostEqual(
            report.quality_before,
            history.history["val_accuracy"][best],
            places=5,
        )
        self.assertTrue(report.kept)
        self.assertGreater(sparsity(report), 0.4)

    def test_the_same_seed_finds_the_same(self):
        banks = []
        for _ in range(2):
            keras.utils.set_random_seed(1)
            model = default_model()
            learn(model, 0)
            learn(model, 1)
            banks.append(everything(model))
        self.assertEqual(*banks)

    def test_earlier_tasks_stay_as_they_are(self):
        model = default_model(sharing="activation_similarity")
        learn(model, 0, epochs=4)
        before = logits(model, 0)
        learn(model, 1, epochs=4)
        np.testing.assert_array_equal(logits(model, 0), before)

    @parameterized.parameters(
        "data set", "sequence", "schedule", "sgd", "averages"
    )
    def test_forms_of_data_and_optimizers(self, kind):
        x, y = digits(0, TRAIN)
        optimizer = keras.optimizers.Adam(0.01)
        data = (x, y)
        if kind == "schedule":
            optimizer = keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(0.01, 60)
            )
        elif kind == "sgd":
            optimizer = keras.optimizers.SGD(0.2, momentum=0.9)
        elif kind == "averages":
            optimizer = keras.optimizers.Adam(0.01, use_ema=True)
        elif kind == "data set":
            # The last batch of each epoch is smaller.
            data = (tf.data.Dataset.from_tensor_slices(data).batch(48),)
        else:
            data = (_Batches(x, y),)
        model = default_model(optimizer=optimizer)
        model.add_task("a", keras.layers.Dense(10))
        model.fit(*data, epochs=6, verbose=0)
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        report = model.consolidate(digits(0, VALIDATION), verbose=0)
        self.assertGreater(sparsity(report), 0.3)
        self.assertTrue(report.kept)
        now = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        self.assertAlmostEqual(now, rate)

    def test_a_generator_is_named_when_fit_begins(self):
        x, y = digits(0, TRAIN)

        def batches():
            while True:
                yield x[:100], y[:100]

        model = default_model()
        model.add_task("a", keras.layers.Dense(10))
        with self.assertWarnsRegex(UserWarning, "generator.*`training_data`"):
            model.fit(batches(), epochs=4, steps_per_epoch=8, verbose=0)
        with self.assertWarnsRegex(UserWarning, "without training in between"):
            report = model.consolidate(digits(0, VALIDATION), verbose=0)
        self.assertTrue(report.kept)

    def test_a_loaded_model_asks_for_training_data(self):
        model = default_model()
        begin(model, epochs=10)
        bare, given = reloaded(model), reloaded(model)
        with self.assertWarnsRegex(UserWarning, "Give `training_data`"):
            without = consolidate(bare)
        self.assertTrue(without.kept)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            report = consolidate(given, training_data=digits(0, TRAIN))
        self.assertGreater(sparsity(report), sparsity(without))

    @parameterized.parameters(
        ((), ValueError, "`training_data` must be"),
        (("text", "text"), (TypeError, ValueError), ""),
        ((np.zeros((0, 64)), np.zeros(0)), ValueError, "empty"),
        ((np.zeros((9, 3)), np.zeros(9)), ValueError, ""),
    )
    def test_bad_training_data(self, data, error, message):
        model = default_model()
        begin(model)
        before = logits(model, 0)
        with self.assertRaisesRegex(error, message):
            consolidate(model, training_data=data)
        np.testing.assert_array_equal(logits(model, 0), before)
        self.assertTrue(consolidate(model).name)

    @parameterized.parameters(1, 4)
    def test_an_interrupt_keeps_the_best_found(self, rounds):
        """The first round has to hold; before it the task is as it was."""
        model = default_model()
        begin(model, epochs=10)
        before = logits(model, 0)
        calls, untold = [], Validation.quality

        def interrupted(self, **arguments):
            calls.append(None)
            if len(calls) == rounds:
                raise KeyboardInterrupt
            return untold(self, **arguments)

        with mock.patch.object(Validation, "quality", interrupted):
            if rounds == 1:
                with self.assertRaises(KeyboardInterrupt):
                    consolidate(model)
            else:
                with self.assertWarnsRegex(UserWarning, "interrupted"):
                    report = consolidate(model)
        if rounds == 1:
            np.testing.assert_array_equal(logits(model, 0), before)
            fit(model)
            report = consolidate(model)
        self.assertTrue(report.kept)
        self.assertGreater(sparsity(report), 0.3)

    def test_an_error_changes_nothing(self):
        model = default_model()
        begin(model, epochs=6)
        before = logits(model, 0)
        state = [np.array(v) for v in model.optimizer.variables]

        def full(self, **arguments):
            raise OSError("no space left")

        with mock.patch.object(Validation, "quality", full):
            with self.assertRaises(OSError):
                consolidate(model)
        np.testing.assert_array_equal(logits(model, 0), before)
        for variable, value in zip(model.optimizer.variables, state):
            np.testing.assert_array_equal(variable, value)
        self.assertTrue(consolidate(model).kept)


class _Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // 48)

    def __getitem__(self, index):
        rows = slice(48 * index, 48 * index + 48)
        return self.x[rows], self.y[rows]


class CutShortTest(parameterized.TestCase):
    def test_the_rest_of_the_schedule_is_trained(self):
        class Stop(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = epoch == 1

        model = make_model(pruning=MagnitudePruning(0.9, frequency=5))
        begin(model, epochs=20, callbacks=[Stop()])
        x, y = digits(0, VALIDATION)
        before = model.evaluate(x, y, verbose=0)[1]
        with self.assertWarnsRegex(UserWarning, "26 of the 156 steps.*rest"):
            report = consolidate(model)
        self.assertAlmostEqual(sparsity(report), 0.9, places=2)
        self.assertAlmostEqual(report.quality_before, before, places=5)
        # Training goes on: all slots at once would cost much more.
        self.assertGreater(report.quality_after, before - 0.1)


class DivergenceTest(parameterized.TestCase):
    def test_a_round_that_diverges_is_taken_back(self):
        """With plain gradients a rate may be too high for fewer slots."""
        model = default_model()
        begin(model, epochs=8)
        x, y = digits(0, VALIDATION)
        before = model.evaluate(x, y, verbose=0)[1]
        # As a schedule would have begun with.
        model.running_task.learning_rate = 1e30
        report = consolidate(model)
        self.assertTrue(report.kept)
        self.assertAlmostEqual(report.quality_before, before, places=5)
        self.assertTrue(np.isfinite(logits(model)).all())


class LengthsTest(parameterized.TestCase):
    def test_sequences_of_another_length_in_each_batch(self):
        rng = np.random.default_rng(0)

        def batches():
            for length in (8, 5, 8, 6, 8):
                y = rng.integers(0, 2, 20)
                x = rng.normal(size=(20, length, 3)) + y[:, None, None]
                yield x.astype("float32"), y

        spec = (
            tf.TensorSpec((None, None, 3), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(batches, output_signature=spec)
        backbone = keras.Sequential(
            [keras.Input((None, 3)), keras.layers.GRU(8)]
        )
        model = default_model(backbone=backbone)
        model.add_task("a", keras.layers.Dense(2))
        model.fit(data, epochs=6, verbose=0)
        validation = next(iter(data))
        report = model.consolidate(validation, verbose=0)
        self.assertTrue(report.kept)

    def test_data_in_the_order_of_their_classes(self):
        """The first training examples tell nothing then."""
        x, y = digits(0, slice(0, 1600))
        x, y = x[y < 2], y[y < 2]
        order = np.repeat(np.argsort(y, kind="stable"), 8)
        data = tf.data.Dataset.from_tensor_slices((x[order], y[order]))
        model = default_model()
        model.add_task("a", keras.layers.Dense(2))
        model.fit(data.batch(100), epochs=2, verbose=0)
        report = model.consolidate((x[::4], y[::4]), verbose=0)
        self.assertEqual(report.kept, report.loss <= report.allowed_loss)

    def test_batches_of_one_size_only(self):
        backbone = keras.Sequential(
            [
                keras.Input(batch_shape=(40, 64)),
                keras.layers.Dense(16, activation="relu"),
            ]
        )
        model = default_model(backbone=backbone)
        model.add_task("a", keras.layers.Dense(10))
        x, y = digits(0, TRAIN)
        model.fit(x, y, batch_size=40, epochs=6, verbose=0)
        few = x[:360], y[:360]
        validation = tuple(part[:80] for part in digits(0, VALIDATION))
        report = model.consolidate(validation, verbose=0, training_data=few)
        self.assertTrue(report.kept)

    def test_a_rate_that_is_a_function(self):
        optimizer = keras.optimizers.Adam(lambda: 0.01)
        model = default_model(optimizer=optimizer)
        begin(model, epochs=6)
        self.assertTrue(consolidate(model).kept)

    def test_ragged_data(self):
        lengths = np.random.default_rng(0).integers(1, 6, 120)
        rows = [np.full(n, n % 2 + 1) for n in lengths]
        x, y = tf.ragged.constant(rows), lengths % 2
        embedding = keras.layers.Embedding(4, 8)
        model = default_model(
            backbone=keras.Sequential(
                [
                    keras.Input((None,), ragged=True, dtype="int32"),
                    embedding,
                    keras.layers.GlobalAveragePooling1D(),
                ]
            )
        )
        model.add_task("a", keras.layers.Dense(2))
        model.fit(x, y, epochs=2, verbose=0)
        report = model.consolidate((x[:60], y[:60]), verbose=0)
        self.assertLessEqual(report.loss, report.allowed_loss)
