"""Tests that what Keras users know works with tasks."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import (
    TEST,
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

X, Y = digits(0, TRAIN)


def dropout_mlp():
    extra = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)]
    return mlp(extra=extra)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        rows = slice(50 * index, 50 * index + 50)
        return X[rows], Y[rows]


def generator():
    while True:
        yield from (Batches()[index] for index in range(8))


def dataset():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(50)


def kernel_of(model):
    return np.array(model.switch.kernels[0].effective())


class DataTest(parameterized.TestCase):
    @parameterized.parameters(
        lambda: {"x": X, "y": Y, "validation_split": 0.2},
        lambda: {"x": X, "y": Y, "sample_weight": np.ones(400)},
        lambda: {
            "x": tf.constant(X),
            "y": tf.constant(Y),
            "class_weight": {3: 2.0},
        },
        lambda: {"x": dataset()},
        lambda: {"x": Batches()},
        lambda: {"x": generator(), "steps_per_epoch": 8},
        lambda: {"x": dataset().repeat(), "steps_per_epoch": 8},
    )
    def test_fit(self, arguments):
        model = make_model()
        model.add_task("task 0", keras.layers.Dense(10))
        history = model.fit(
            **arguments(),
            validation_data=None
            if "validation_split" in arguments()
            else digits(0, VALIDATION),
            epochs=3,
            verbose=0,
        )
        self.assertLen(history.history["val_accuracy"], 3)
        self.assertGreater(history.history["accuracy"][-1], 0.5)
        report = consolidate(model)
        self.assertAlmostEqual(min(report.sparsity.values()), 0.7, places=2)

    def test_consolidate_with_any_form_of_data(self):
        reports = []
        x, y = digits(0, VALIDATION)
        validation = tf.data.Dataset.from_tensor_slices((x, y)).batch(1024)
        model = make_model()
        begin(model)
        for data in ((x, y), [x, y], validation):
            one = reloaded(model)
            reports.append(one.consolidate(data, verbose=0).to_dict())
        names = [r.pop("sparsity").popitem()[1] for r in reports]
        self.assertLen(set(names), 1)
        before = [r["quality_before"] for r in reports]
        self.assertLen(set(before), 1)

    def test_sample_weight_and_class_weight_count(self):
        kernels = []
        for arguments in (
            {},
            {"sample_weight": np.where(Y == 3, 9.0, 1.0)},
            {"class_weight": {3: 9.0}},
        ):
            keras.utils.set_random_seed(0)
            model = make_model()
            begin(model, **arguments)
            kernels.append(kernel_of(model))
        self.assertGreater(np.abs(kernels[0] - kernels[1]).max(), 0)
        np.testing.assert_allclose(kernels[1], kernels[2], atol=1e-5)

    @parameterized.parameters(dict, list)
    def test_two_inputs(self, kind):
        inputs = [keras.Input((32,), name=n) for n in ("left", "right")]
        features = keras.layers.Concatenate()(inputs)
        features = keras.layers.Dense(24, activation="relu")(features)
        halves = [X[:, :32], X[:, 32:]]
        if kind is dict:
            inputs = dict(zip(("left", "right"), inputs))
            halves = dict(zip(("left", "right"), halves))
        model = make_model(keras.Model(inputs, features))
        model.add_task("a", keras.layers.Dense(10))
        model.fit(halves, Y, epochs=3, verbose=0)
        report = model.consolidate((halves, Y), verbose=0)
        self.assertGreater(report.quality_after, 0.5)
        self.assertEqual(model.predict(halves, verbose=0).shape, (400, 10))


class CallbacksTest(parameterized.TestCase):
    def test_early_stopping(self):
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=1, restore_best_weights=True
        )
        model = make_model(optimizer=keras.optimizers.Adam(0.1))
        history = begin(
            model,
            epochs=30,
            validation_data=digits(0, VALIDATION),
            callbacks=[stopping],
        )
        self.assertLess(len(history.epoch), 30)
        loss = model.evaluate(*digits(0, VALIDATION), verbose=0)[0]
        best = min(history.history["val_loss"])
        self.assertAlmostEqual(loss, best, places=3)
        report = consolidate(model)
        self.assertAlmostEqual(min(report.sparsity.values()), 0.7, places=2)

    def test_one_callback_list_for_all_tasks(self):
        seen = []
        counting = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(epoch)
        )
        callbacks = keras.callbacks.CallbackList([counting])
        model = make_model()
        for number in range(2):
            history = begin(model, number, callbacks=callbacks)
            consolidate(model, number)
            self.assertIsInstance(history, keras.callbacks.History)
        self.assertEqual(seen, [0, 1, 0, 1])
        self.assertLen(callbacks.callbacks, 1)

    def test_evaluate_an_old_task_while_another_trains(self):
        banks = []

        def look(*_):
            model.evaluate(*digits(0, TEST), task="task 0", verbose=0)
            logits(model, 1, task="odd")

        class Curious(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                look()

        for callbacks in ([], [Curious()]):
            keras.utils.set_random_seed(0)
            model = make_model(dropout_mlp(), seed=5)
            learn(model, 0)
            model.add_task("odd", keras.layers.Dense(2))
            x, y = digits(1, TRAIN)
            model.fit(x, y % 2, verbose=0)
            model.consolidate((x, y % 2), verbose=0)
            begin(model, 2, callbacks=callbacks)
            if callbacks:
                look()
            fit(model, 2, callbacks=callbacks)
            if callbacks:
                look()
            consolidate(model, 2)
            banks.append(model.bank.to_bytes())
        self.assertEqual(*banks)

    def test_several_fits(self):
        model = make_model()
        begin(model, epochs=3)
        total = model.running_task.progress.total_steps
        self.assertEqual(total, 39)
        steps = int(model.optimizer.iterations)
        fit(model, epochs=5, initial_epoch=3)
        self.assertEqual(int(model.optimizer.iterations), steps + 26)
        self.assertEqual(model.running_task.progress.step, 65)
        self.assertEqual(model.running_task.progress.total_steps, total)
        self.assertEqual(model.running_task.fits, 2)
        mask = model.running_task.masks[0].mask
        self.assertAlmostEqual(mask.mean(), 0.3, places=2)
        consolidate(model)

    def test_train_on_batch(self):
        model = make_model()
        begin(model, epochs=1)
        before = kernel_of(model)
        model.train_on_batch(X[:32], Y[:32])
        self.assertGreater(np.abs(kernel_of(model) - before).max(), 0)


class HeadsTest(parameterized.TestCase):
    def test_heads_of_two_shapes_are_traced_once_each(self):
        model = make_model()
        x, y = digits(1, TRAIN)
        functions = {}
        for number in range(4):
            classes = 2 if number % 2 else 10
            model.add_task(f"task {number}", keras.layers.Dense(classes))
            model.fit(x, y % classes, verbose=0)
            model.consolidate((x, y % classes), verbose=0)
            function = model.train_function
            self.assertIs(functions.setdefault(classes, function), function)
        for number in range(4):
            shape = logits(model, number).shape
            self.assertEqual(shape, (200, 2 if number % 2 else 10))

    def test_consolidated_tasks_have_functions_of_their_own(self):
        """A running task's must go on reading what it trains."""
        model = make_model()
        learn(model, 0)
        begin(model, 1)
        data = digits(1, VALIDATION)
        others = [model.evaluate(*data, verbose=0)]
        stored = logits(model, 0, "task 0")
        others.append(model.evaluate(*data, verbose=0))
        others.append(model.test_on_batch(*data))
        np.testing.assert_allclose(others, [others[0]] * 3, rtol=1e-5)
        fit(model, 1)
        self.assertNotEqual(model.evaluate(*data, verbose=0), others[0])
        np.testing.assert_array_equal(logits(model, 0, "task 0"), stored)

    def test_every_task_begins_with_a_fresh_head_and_optimizer(self):
        model = make_model(optimizer=keras.optimizers.Adam(1e-9))
        learn(model, 0)
        first = model.bank.private("task 0")
        begin(model, 1)
        kernel = np.array(model.heads.head.kernel)
        self.assertGreater(np.abs(kernel - first[1]).max(), 0.01)
        self.assertEqual(int(model.optimizer.iterations), 26)

    def test_compiling_anew_between_fits(self):
        model = make_model()
        begin(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        sgd = keras.optimizers.SGD(0.01, momentum=0.9)
        model.compile(sgd, loss, metrics=["sparse_categorical_accuracy"])
        fit(model)
        momentum = model.optimizer.momentums[0]
        self.assertGreater(np.abs(np.array(momentum)).max(), 0)
        report = consolidate(model)
        self.assertEqual(report.monitor, "sparse_categorical_accuracy")
        begin(model, 1)
        self.assertEqual(int(model.optimizer.iterations), 26)

    @parameterized.parameters(0, 1)
    def test_given_weights_are_kept(self, number):
        model = make_model(optimizer=keras.optimizers.Adam(1e-9))
        for earlier in range(number):
            learn(model, earlier)
        head = keras.layers.Dense(10)
        head.build((None, 32))
        given = np.array(head.kernel)
        model.add_task("given", head)
        model.fit(X, Y, verbose=0)
        found = np.array(model.heads.head.kernel)
        np.testing.assert_allclose(found, given, atol=1e-6)

    def test_head_with_dropout(self):
        model = make_model()
        for number in range(2):
            layers = [keras.layers.Dropout(0.1), keras.layers.Dense(10)]
            model.add_task(f"task {number}", keras.Sequential(layers))
            fit(model, number)
            consolidate(model, number)
        self.assertLen(model.heads.get_config()["heads"], 1)


@keras.saving.register_keras_serializable(package="tests")
class TwoLayers(keras.Model):
    def __init__(self, units=24, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units, activation="relu")
        self.norm = keras.layers.BatchNormalization()
        self.second = keras.layers.Dense(units, activation="relu")

    def call(self, inputs, training=None):
        return self.second(self.norm(self.first(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class BackboneTest(parameterized.TestCase):
    def learn_two(self, model):
        learn(model, 0)
        before = everything(model)
        learn(model, 1)
        self.assertEqual(everything(model)[1][:1], before[1])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.models.load_model(path)
        self.assertEqual(everything(loaded), everything(model))

    def test_subclassed_without_input_shape(self):
        model = make_model(TwoLayers())
        self.assertIsNone(model.bank)
        self.learn_two(model)
        self.assertLen(model.bank.paths, 2)

    def test_subnetworks_of_the_users_own(self):
        layers = [keras.Input((64,)), keras.layers.Dense(32, activation="relu")]
        layers.append(tsn_keras.layers.SubnetDense(24, activation="relu"))
        model = make_model(keras.Sequential(layers))
        self.assertLen(model.bank.paths, 1)
        self.learn_two(model)

    def test_single_layer(self):
        self.learn_two(make_model(keras.layers.Dense(24, activation="relu")))

    def test_pretrained_and_compiled_backbone(self):
        keras.utils.set_random_seed(0)
        backbone = mlp()
        trained = keras.Sequential([backbone, keras.layers.Dense(10)])
        trained.compile("adam", "mse", metrics=["mae"])
        backbone.compile("adam", "mse", metrics=["mae"])
        start = np.array(backbone.layers[0].kernel)
        model = make_model(backbone, optimizer=keras.optimizers.Adam(1e-9))
        model.add_task("task 0", keras.layers.Dense(10))
        model.fit(X, Y, verbose=0)
        kernel = np.array(model.switch.kernels[0].kernel)
        np.testing.assert_allclose(kernel, start, atol=1e-6)
        consolidate(model)
        begin(model, 1, epochs=1)
        kernel = np.array(model.switch.kernels[0].kernel)
        self.assertGreater(np.abs(kernel - start).max(), 0.01)

    def test_run_eagerly(self):
        model = make_model(run_eagerly=True)
        learn(model, 0, epochs=1, batch_size=100)
        learn(model, 1, epochs=1, batch_size=100)
        self.assertEqual(int(model.optimizer.iterations), 4)

    def test_regression(self):
        model = make_model(loss="mse", metrics=None)
        target = np.float32(X[:, :3] * 2 - X[:, 3:6])
        model.add_task("a", keras.layers.Dense(3))
        model.fit(X, target, epochs=5, verbose=0)
        report = model.consolidate((X, target), verbose=0)
        self.assertEqual(report.monitor, "loss")
        self.assertGreater(report.quality_before, 0)
        loss = model.evaluate(X, target, verbose=0)
        self.assertAlmostEqual(report.quality_after, loss, places=3)


class SummaryTest(parameterized.TestCase):
    def test_the_tables_of_tasks(self):
        model = make_model(sharing="always")
        learn(model, 0)
        learn(model, 1)
        lines = []
        model.summary(print_fn=lambda line, *_, **__: lines.append(line))
        text = "\n".join(lines)
        report = model.report("task 1")
        (path,) = report.own
        self.assertIn("Total params", text)
        header = r"task +kernel +plane +sparsity +bits +own +shared"
        self.assertRegex(text, header)
        self.assertRegex(
            text,
            rf"task 1 +{path} +0 +62.5% +{report.bits[path]} +"
            rf"{report.own[path]} +{report.shared[path]}",
        )
        self.assertRegex(text, rf"{path}: [\d.]+% of the bits free")

    def test_before_any_task(self):
        lines = []
        make_model().summary(print_fn=lambda line, *_, **__: lines.append(line))
        self.assertNotIn("sparsity", "\n".join(lines))

    @parameterized.parameters(None, "scores")
    def test_parameters_are_those_of_the_network(self, pruning):
        def network():
            return keras.Sequential(
                [
                    keras.Input((8, 8, 1)),
                    keras.layers.Conv2D(4, 3),
                    keras.layers.BatchNormalization(),
                    keras.layers.Flatten(),
                    keras.layers.Dense(5),
                ]
            )

        plain = network()
        model = tsn_keras.ContinualModel(network(), pruning=pruning)
        self.assertEqual(model.count_params(), plain.count_params())
        self.assertEqual(model.backbone.count_params(), plain.count_params())
        lines = []
        model.summary(print_fn=lambda line, *_, **__: lines.append(line))
        text = "\n".join(lines)
        self.assertRegex(text, rf"Total params: {plain.count_params():,} ")
        for weights, name in (
            (plain.trainable_weights, "Trainable"),
            (plain.non_trainable_weights, "Non-trainable"),
        ):
            count = sum(np.prod(weight.shape) for weight in weights)
            self.assertRegex(text, rf"{name} params: {count:,} ")
        # What is at work is set with masks and all, as before.
        self.assertGreater(len(model.get_weights()), len(plain.get_weights()))
        model.set_weights(model.get_weights())

    def test_parameters_of_layers_that_are_subnetworks(self):
        backbone = keras.Sequential(
            [keras.Input((6,)), tsn_keras.layers.SubnetDense(5)]
        )
        model = tsn_keras.ContinualModel(backbone)
        self.assertEqual(model.count_params(), 35)
        self.assertEqual(backbone.layers[0].count_params(), 35)
        lines = []
        model.summary(print_fn=lambda line, *_, **__: lines.append(line))
        self.assertNotRegex("\n".join(lines), "[1-9]0? .*Non-trainable")
        self.assertRegex("\n".join(lines), "Non-trainable params: 0 ")
