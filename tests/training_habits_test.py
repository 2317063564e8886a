"""Tests that a user's ways to train work within tasks."""

import importlib.util
import os
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import callbacks

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
)

X, Y = digits(0, TRAIN)


def check_two_tasks(test, model, **arguments):
    """Learns two tasks; the first must be learned and stay to the bit."""
    learn(model, 0, **arguments)
    before = logits(model)
    x, y = digits(0, TRAIN)
    right = model.predict(x, verbose=0).argmax(axis=-1) == y
    test.assertGreater(right.mean(), 0.5)
    learn(model, 1, **arguments)
    test.assertEqual(logits(model).tobytes(), before.tobytes())


class CallbacksTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def test_all_at_once(self):
        rates = []
        log = os.path.join(self.folder, "log.csv")
        boards = os.path.join(self.folder, "boards")
        has_tensorboard = importlib.util.find_spec("tensorboard") is not None
        used = [
            callbacks.CSVLogger(log),
            callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(
                on_epoch_end=lambda *_: rates.append(
                    float(model.optimizer.learning_rate)
                )
            ),
        ]
        if has_tensorboard:
            used.append(callbacks.TensorBoard(boards, histogram_freq=1))
        model = make_model()
        check_two_tasks(
            self,
            model,
            epochs=3,
            batch_size=16,
            callbacks=used,
            validation_data=digits(0, VALIDATION),
        )
        # The second task starts with the compiled rate again.
        np.testing.assert_allclose(rates, [0.005, 0.0025, 0.00125] * 2)
        with open(log) as file:
            self.assertLen(file.readlines(), 4)
        if has_tensorboard:
            self.assertNotEmpty(os.listdir(boards))

    def test_reduce_on_plateau(self):
        plateau = callbacks.ReduceLROnPlateau("loss", 0.1, 1, min_delta=100)
        model = make_model()
        begin(model, epochs=3, callbacks=[plateau])
        self.assertAlmostEqual(float(model.optimizer.learning_rate), 1e-4)
        consolidate(model)

    def test_learning_rate_that_is_set_for_a_task(self):
        model = make_model()
        for name, rate in (("a", None), ("b", 1e-3), ("c", None)):
            model.add_task(name, keras.layers.Dense(10))
            self.assertAlmostEqual(float(model.optimizer.learning_rate), 0.01)
            if rate:
                model.optimizer.learning_rate = rate
            model.fit(X, Y, epochs=1, verbose=0)
            used = float(model.optimizer.learning_rate)
            self.assertAlmostEqual(used, rate or 0.01)
            consolidate(model)
        model.add_task("d", keras.layers.Dense(10))
        schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10)
        model.optimizer.learning_rate = schedule
        with self.assertRaisesRegex(ValueError, "compile.*CosineDecay"):
            model.fit(X, Y, verbose=0)

    @parameterized.parameters(False, True)
    def test_checkpoints_of_a_running_task(self, weights_only):
        suffix = ".weights.h5" if weights_only else ".keras"
        path = os.path.join(self.folder, "checkpoint" + suffix)
        checkpoint = callbacks.ModelCheckpoint(
            path, save_weights_only=weights_only
        )
        model = make_model()
        x, _ = digits(1, VALIDATION)
        outputs = []
        looking = callbacks.LambdaCallback(
            on_epoch_end=lambda *_: outputs.append(model.predict(x, verbose=0))
        )
        learn(model, 0)
        begin(model, 1, callbacks=[checkpoint, looking])
        expected = outputs[-1]
        if weights_only:
            model.fit(*digits(1, TRAIN), verbose=0)
            changed = model.predict(x, verbose=0)
            self.assertGreater(np.abs(changed - expected).max(), 0)
            model.load_weights(path)
        else:
            model = keras.models.load_model(path)
        self.assertEqual(model.tasks, ("task 0", "task 1"))
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
        fit(model, 1)
        consolidate(model, 1)

    def test_backup_and_restore(self):
        backup = os.path.join(self.folder, "backup")

        class Interrupt(callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise KeyboardInterrupt

        banks = []
        for interruption in ([], [Interrupt()]):
            keras.utils.set_random_seed(0)
            model = make_model(mlp())
            used = [callbacks.BackupAndRestore(backup), *interruption]
            if interruption:
                with self.assertRaises(KeyboardInterrupt):
                    begin(model, epochs=4, shuffle=False, callbacks=used)
                # Another process begins anew, and knows nothing of it.
                keras.utils.set_random_seed(1)
                model = make_model(mlp())
            history = begin(model, epochs=4, shuffle=False, callbacks=used[:1])
            consolidate(model)
            banks.append(model.bank.masks("task 0")[0][0])
        self.assertEqual(history.epoch, [2, 3])
        # The next task is trained in all its epochs.
        self.assertEqual(begin(model, 1, epochs=3).epoch, [0, 1, 2])
        np.testing.assert_array_equal(*banks)


def decay():
    return keras.optimizers.schedules.CosineDecay(0.01, 100)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule as tutorials have it, without a configuration."""

    def __call__(self, step):
        return 0.01 * keras.ops.minimum(keras.ops.cast(step, "float32") / 9, 1)


class TrainingTest(parameterized.TestCase):
    @parameterized.parameters(
        lambda: keras.optimizers.Adam(decay(), gradient_accumulation_steps=2),
        lambda: keras.optimizers.AdamW(WarmUp(), global_clipnorm=1.0),
        lambda: keras.optimizers.Lamb(lambda: 0.02),
        lambda: keras.optimizers.SGD(0.5, momentum=0.9, clipnorm=1.0),
        lambda: keras.optimizers.Adam(
            0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5
        ),
    )
    def test_optimizers(self, optimizer):
        check_two_tasks(
            self, make_model(optimizer=optimizer()), epochs=4, batch_size=16
        )

    @parameterized.parameters(
        {"jit_compile": True},
        {"steps_per_execution": 4},
        {"run_eagerly": True},
        {"auto_scale_loss": False, "weighted_metrics": ["accuracy"]},
    )
    def test_compile_arguments(self, **arguments):
        model = make_model(mlp(extra=[keras.layers.Dropout(0.1)]), **arguments)
        check_two_tasks(self, model, epochs=3)

    @parameterized.parameters("mixed_float16", "mixed_bfloat16")
    def test_mixed_precision(self, policy):
        before = keras.config.dtype_policy()
        self.addCleanup(keras.config.set_dtype_policy, before)
        keras.config.set_dtype_policy(policy)
        model = make_model(mlp(extra=[keras.layers.BatchNormalization()]))
        check_two_tasks(self, model, epochs=4, batch_size=16)
        kernels = model.bank.effective("task 0")
        self.assertEqual({kernel.dtype.name for kernel in kernels}, {"float32"})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.models.load_model(path)
        self.assertEqual(everything(loaded), everything(model))

    def test_weight_regularizers(self):
        hidden = keras.layers.Dense(24, "relu", kernel_regularizer="l2")
        model = make_model(keras.Sequential([keras.Input((64,)), hidden]))
        learn(model, 0)
        before = model.evaluate(X, Y, verbose=0)
        learn(model, 1)
        self.assertEqual(model.evaluate(X, Y, task="task 0", verbose=0), before)

    def test_what_weight_decay_leaves_out(self):
        optimizer = keras.optimizers.AdamW(0.01, weight_decay=1.0)
        optimizer.exclude_from_weight_decay(var_names=["kernel"])
        models = []
        for given in (optimizer, keras.optimizers.Adam(0.01)):
            keras.utils.set_random_seed(0)
            normalization = keras.layers.BatchNormalization()
            backbone = mlp(extra=[normalization])
            models.append(
                make_model(backbone, quantization=None, optimizer=given)
            )
        # Examples without weight: nothing but decay moves a variable.
        nothing = np.zeros(len(digits(0, TRAIN)[1]))
        for name, units in (("a", 10), ("b", 12)):
            for model in models:
                model.add_task(name, keras.layers.Dense(units))
                fit(model, sample_weight=nothing)
            decayed, plain = (model.switch for model in models)
            np.testing.assert_array_equal(
                decayed.kernels[0].kernel, plain.kernels[0].kernel
            )
            gammas = [
                variable
                for variable in decayed.private
                if variable.path.endswith("gamma")
            ]
            self.assertLess(np.max(gammas), 0.9)
            for model in models:
                consolidate(model)

    def test_shuffling_that_nobody_asked_for(self):
        """Keras warns of it wherever a data set is given."""
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
        # The second task tries the first one's plane with `fit`, too.
        sharing = tsn_keras.sharing.ActivationSimilarity(
            threshold=1e6, doubt=1e7, trial_steps=2
        )
        model = make_model(pruning="magnitude", sharing=sharing)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "`shuffle=True`")
            for name in "ab":
                model.add_task(name, head=keras.layers.Dense(10))
                model.fit(data, verbose=0)
                if name == "a":
                    model.consolidate(data, verbose=0)
            model.fit(X, Y, verbose=0)
        with self.assertWarnsRegex(UserWarning, "`shuffle=True`"):
            model.fit(data, shuffle=True, verbose=0)

    def test_data_that_never_end(self):
        data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(32)
        model = make_model()
        model.add_task("a", keras.layers.Dense(10))
        history = model.fit(
            data,
            steps_per_epoch=10,
            epochs=3,
            validation_data=data,
            validation_steps=2,
            verbose=0,
        )
        self.assertLen(history.history["val_loss"], 3)
        self.assertEqual(int(model.optimizer.iterations), 30)
        report = consolidate(model)
        self.assertGreater(report.quality_after, 0.5)


@keras.saving.register_keras_serializable(package="tests")
class WithPenalty(tsn_keras.ContinualModel):
    """A train_step of a user's own, as in Keras' guide to them."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            loss += 1e-3 * tf.reduce_mean(tf.square(y_pred))
        weights = self.trainable_weights
        gradients = tape.gradient(loss, weights)
        self.optimizer.apply_gradients(zip(gradients, weights))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


@keras.saving.register_keras_serializable(package="tests")
class KnowsItsLoss(tsn_keras.ContinualModel):
    """Compiled without a loss, as in the lower-level part of the guide."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.total = keras.metrics.Mean(name="total")

    @property
    def metrics(self):
        return [self.total]

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            error = keras.losses.huber(y, self(x, training=True))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(error, weights), weights)
        self.total.update_state(error)
        return {"total": self.total.result()}

    def test_step(self, data):
        x, y = data
        self.total.update_state(keras.losses.huber(y, self(x)))
        return {"total": self.total.result()}


class RebuildsInputs(tsn_keras.ContinualModel):
    """An autoencoder that is given inputs alone."""

    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step((x, x))


class GuidesTest(parameterized.TestCase):
    """Patterns of Keras' guides, with `ContinualModel` in the place."""

    def test_train_step_that_knows_the_targets(self):
        model = RebuildsInputs(mlp(), seed=1)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.add_task("a", keras.layers.Dense(64))
        model.fit(X, epochs=2, verbose=0)
        with self.assertWarnsRegex(UserWarning, "have no targets"):
            report = model.consolidate((X, X), verbose=0)
        self.assertEqual(report.monitor, "loss")

    def test_custom_train_step(self):
        model = WithPenalty(mlp(), sharing=None, seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.Adam(0.01)
        model.compile(optimizer, loss, metrics=["accuracy"])
        check_two_tasks(self, model, epochs=5, batch_size=16)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.models.load_model(path)
        self.assertIsInstance(loaded, WithPenalty)
        self.assertEqual(everything(loaded), everything(model))

    def test_train_step_without_a_compiled_loss(self):
        model = KnowsItsLoss(mlp(), sharing="activation_similarity", seed=0)
        model.compile(optimizer="adam")
        for name in "ab":
            model.add_task(name, keras.layers.Dense(2))
            history = model.fit(X, X[:, :2], epochs=3, verbose=0).history
            with self.assertWarnsRegex(UserWarning, "override `compute_loss`"):
                report = model.consolidate((X, X[:, :2]), mode="min", verbose=0)
        self.assertLess(history["total"][-1], history["total"][0])
        self.assertEqual(report.monitor, "total")

    def test_functional_with_several_inputs_and_outputs(self):
        tag = keras.Input((1,), dtype="int32", name="tag")
        image = keras.Input((64,), name="image")
        words = keras.layers.Embedding(10, 4)(tag)
        joined = [
            keras.layers.Dense(24, activation="relu")(image),
            keras.layers.Flatten()(words),
        ]
        features = keras.layers.concatenate(joined)
        # A list of inputs, which are fed by name, and a column too many.
        backbone = keras.Model([tag, image], features)
        inputs = {"image": X, "tag": np.int32(Y % 3), "unused": Y}
        labels = {"digit": Y, "ink": X.mean(axis=-1)}

        def head():
            features = keras.Input((28,))
            outputs = {
                "digit": keras.layers.Dense(10),
                "ink": keras.layers.Dense(1, activation="sigmoid"),
            }
            return keras.Model(
                features, {key: one(features) for key, one in outputs.items()}
            )

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = make_model(
            backbone,
            sharing="activation_similarity",
            loss={"digit": loss, "ink": "mse"},
            loss_weights={"digit": 1.0, "ink": 0.2},
            metrics={"digit": ["accuracy"]},
        )
        for name in "ab":
            model.add_task(name, head())
            model.fit(inputs, labels, epochs=5, batch_size=16, verbose=0)
            report = model.consolidate((inputs, labels), verbose=0)
            self.assertEqual(report.monitor, "loss")
            found = model.predict(inputs, task="a", verbose=0)["digit"]
            if name == "a":
                before = found
        self.assertGreater((before.argmax(axis=-1) == Y).mean(), 0.7)
        self.assertEqual(found.tobytes(), before.tobytes())
        self.assertLen(model.heads.get_config()["heads"], 1)
        wrong = {**inputs, "image": X[:, :60]}
        model.add_task("c", head())
        with self.assertRaisesRegex(ValueError, r"\(None, 64\).*\(400, 60\)"):
            model.fit(wrong, labels, verbose=0)

    def test_transfer_learning(self):
        base = mlp(48)
        pretraining = keras.Sequential([base, keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        pretraining.compile(keras.optimizers.Adam(0.01), loss)
        pretraining.fit(X, Y, epochs=5, verbose=0)
        base.trainable = False
        inputs = keras.Input((64,))
        hidden = base(inputs, training=False)
        hidden = keras.layers.Dropout(0.1)(hidden)
        features = keras.layers.Dense(16, activation="relu")(hidden)
        before = [np.array(weight) for weight in base.weights]
        model = make_model(keras.Model(inputs, features))
        check_two_tasks(self, model, epochs=5, batch_size=16)
        for one, other in zip(base.weights, before):
            np.testing.assert_array_equal(one, other)

    def test_first_the_head_then_all(self):
        backbone = mlp()
        start = np.array(backbone.layers[0].kernel)
        model = make_model(backbone)
        model.add_task("task 0", keras.layers.Dense(10))
        backbone.trainable = False
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        fit(model)
        np.testing.assert_array_equal(backbone.layers[0].kernel, start)
        self.assertFalse(backbone.trainable)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.models.load_model(path)
        backbone.trainable = True
        for one in (model, loaded):
            one.compile(
                keras.optimizers.Adam(0.003), loss, metrics=["accuracy"]
            )
            fit(one)
            kernel = one.switch.kernels[0].kernel
            self.assertGreater(np.abs(kernel - start).max(), 0)
            consolidate(one)

    def test_first_the_head_of_a_later_task(self):
        backbone = mlp()
        model = make_model(backbone)
        learn(model, 0)
        before = logits(model)
        model.add_task("task 1", keras.layers.Dense(10))
        kernel = model.switch.kernels[0].kernel
        for trainable in (False, True):
            backbone.trainable = trainable
            model.compile(keras.optimizers.Adam(0.01), model.loss)
            # The first one also gives the task its starting values.
            fit(model, 1)
            start = np.array(kernel)
            fit(model, 1)
            self.assertEqual((np.array(kernel) != start).any(), trainable)
        consolidate(model, 1)
        self.assertEqual(logits(model).tobytes(), before.tobytes())
