import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras import tfmot
from tsn_keras.layers import SubnetDense
from tsn_keras.pruning import (
    MagnitudePruning,
    Progress,
    PruningScheduleCallback,
    ScorePruning,
    TaskMask,
    kept_slots,
)

ROWS, BATCH = 48, 4


class _Course(keras.callbacks.Callback):
    """Notes the number of kept slots after every batch."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.kept = []

    def on_train_batch_end(self, batch, logs=None):
        self.kept.append(int(self.mask.mask.sum()))


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8)).astype(np.float32)
    return x, x[:, :3]


def model_and_mask(pruning, **compile_arguments):
    layer = SubnetDense(10, learned_scores=pruning.learned_scores)
    model = keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(3)])
    model.compile("adam", "mse", **compile_arguments)
    (kernel,) = layer.kernels
    shape = kernel.shape
    owned, frozen = np.zeros(shape, bool), np.zeros(shape, np.float32)
    return model, TaskMask(kernel, owned, frozen, np.ones(shape, bool))


def fit(model, mask, pruning, progress, *arguments, **keywords):
    course = _Course(mask)
    updates = PruningScheduleCallback(pruning, [mask], progress)
    callbacks = [updates, course]
    model.fit(*arguments, callbacks=callbacks, verbose=0, **keywords)
    return course.kept


class PruningScheduleCallbackTest(parameterized.TestCase):
    @parameterized.product(
        strategy=(MagnitudePruning, ScorePruning),
        steps_per_execution=(1, 5),
        frequency=(1, 4),
    )
    def test_reaches_the_target(self, strategy, steps_per_execution, frequency):
        pruning = strategy(0.8, frequency=frequency)
        model, mask = model_and_mask(
            pruning, steps_per_execution=steps_per_execution
        )
        progress = Progress()
        kept = fit(
            model, mask, pruning, progress, *data(), epochs=2, batch_size=BATCH
        )
        self.assertEqual(progress, Progress(24, 24, settled=True))
        self.assertEqual(kept, sorted(kept, reverse=True))
        self.assertEqual(kept[-1], kept_slots(80, 0.8))
        self.assertGreater(len(set(kept)), 2)
        effective = np.asarray(mask.kernel.effective())
        np.testing.assert_array_equal(effective[~mask.mask], 0)
        self.assertTrue((effective[mask.mask] != 0).all())

    def test_frequency(self):
        pruning = MagnitudePruning(0.8, end=1.0, frequency=5)
        model, mask = model_and_mask(pruning)
        kept = fit(model, mask, pruning, Progress(), *data(), batch_size=BATCH)
        changes = np.flatnonzero(np.diff(kept, prepend=80)) + 1
        np.testing.assert_array_equal(changes, [5, 10])
        # The end of an epoch brings the mask up to date.
        self.assertEqual(mask.mask.sum(), kept_slots(80, 0.8))

    def test_data_of_unknown_size(self):
        def batches():
            x, y = data()
            for start in range(0, ROWS, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

        signature = (
            tf.TensorSpec((None, 8), tf.float32),
            tf.TensorSpec((None, 3), tf.float32),
        )
        dataset = tf.data.Dataset.from_generator(
            batches, output_signature=signature
        )
        pruning = MagnitudePruning(0.8, end=1.0, frequency=2)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        kept = fit(model, mask, pruning, progress, dataset, epochs=3)
        self.assertEqual(progress, Progress(36, 36, settled=True))
        self.assertEqual(kept[:12], [80] * 12)
        self.assertLess(kept[12], 80)
        self.assertEqual(kept[-1], kept_slots(80, 0.8))

    def test_generator_with_steps(self):
        def forever():
            x, y = data()
            while True:
                yield x[:BATCH], y[:BATCH]

        pruning = MagnitudePruning(0.8, frequency=2)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        fit(
            model,
            mask,
            pruning,
            progress,
            forever(),
            steps_per_epoch=6,
            epochs=2,
        )
        self.assertEqual(progress, Progress(12, 12, settled=True))
        self.assertEqual(mask.mask.sum(), kept_slots(80, 0.8))

    def test_later_fit_stays_at_the_target(self):
        pruning = MagnitudePruning(0.8, frequency=2)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        for _ in range(2):
            kept = fit(
                model, mask, pruning, progress, *data(), batch_size=BATCH
            )
        self.assertEqual(progress, Progress(24, 12, settled=True))
        self.assertEqual(set(kept), {kept_slots(80, 0.8)})

    def test_initial_epoch(self):
        pruning = MagnitudePruning(0.8, frequency=2)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        fit(
            model,
            mask,
            pruning,
            progress,
            *data(),
            batch_size=BATCH,
            epochs=5,
            initial_epoch=3,
        )
        self.assertEqual(progress, Progress(24, 24, settled=True))

    @parameterized.parameters(MagnitudePruning, ScorePruning)
    def test_masks_stay_after_the_end(self, strategy):
        pruning = strategy(0.8, end=0.5, frequency=1)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        own = []

        class Masks(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                own.append(mask.own)
                if epoch >= 1:
                    # Values by which all slots would be ranked anew.
                    for variable in (mask.kernel.kernel, mask.kernel.scores):
                        if variable is not None:
                            variable.assign(variable[::-1])

        updates = PruningScheduleCallback(pruning, [mask], progress)
        for _ in range(2):
            model.fit(
                *data(),
                batch_size=BATCH,
                epochs=4,
                verbose=0,
                callbacks=[updates, Masks()],
            )
        self.assertTrue(progress.settled)
        for later in own[2:]:
            np.testing.assert_array_equal(later, own[1])
        np.testing.assert_array_equal(mask.kernel.own_mask, own[1])

    @parameterized.parameters((-1, False), (8, True), (100, False))
    def test_schedule_of_ones_own_ends_where_it_says(self, end, settled):
        schedule = tfmot.schedule_from_config(
            {
                "class_name": "ConstantSparsity",
                "config": {
                    "target_sparsity": 0.5,
                    "begin_step": 0,
                    "end_step": end,
                    "frequency": 2,
                },
            }
        )
        pruning = MagnitudePruning(schedule=schedule, frequency=2)
        model, mask = model_and_mask(pruning)
        progress = Progress()
        fit(model, mask, pruning, progress, *data(), batch_size=BATCH)
        self.assertEqual(progress.settled, settled)
        self.assertEqual(mask.mask.sum(), 40)
