import json
import warnings

import keras
import numpy as np
from absl.testing import absltest

from tsn_keras.keras_internals import carried_mask
from tsn_keras.layers import Heads


class HeadsTest(absltest.TestCase):
    def test_equal_configurations_share_a_layer(self):
        heads = Heads()
        self.assertEqual(heads.add(keras.layers.Dense(3)), 0)
        self.assertEqual(heads.add(keras.layers.Dense(5)), 1)
        self.assertEqual(heads.add(keras.layers.Dense(3, name="other")), 0)
        self.assertEqual(heads.add(keras.layers.Dense(3, use_bias=False)), 2)

    def test_built_and_unbuilt_are_equal(self):
        heads = Heads()
        heads.add(keras.layers.Dense(3))
        heads.select(0)
        heads(np.ones((2, 4)))
        self.assertEqual(heads.add(keras.layers.Dense(3)), 0)

    def test_models_compare_without_the_names_of_their_layers(self):
        def make(units):
            layers = keras.layers
            return keras.Sequential([layers.Dense(8), layers.Dense(units)])

        built = make(3)
        built(np.ones((2, 5)))
        heads = Heads([built])
        self.assertEqual(heads.add(make(3)), 0)
        self.assertEqual(heads.add(make(4)), 1)

    def test_functional_models_compare_by_how_they_are_wired(self):
        def make(*order):
            features = keras.Input((5,))
            outputs = [keras.layers.Dense(n)(features) for n in (4, 2)]
            return keras.Model(features, [outputs[index] for index in order])

        heads = Heads([make(0, 1)])
        self.assertEqual(heads.add(make(0, 1)), 0)
        self.assertEqual(heads.add(make(1, 0)), 1)
        self.assertEqual(heads.add(make(1, 0)), 1)

    def test_what_carries_meaning_tells_heads_apart(self):
        layers = keras.layers

        def named(*names, **kwargs):
            features = keras.Input((5,), **kwargs)
            outputs = [layers.Dense(3, name=name)(features) for name in names]
            return keras.Model(features, outputs)

        def policy(name):
            return keras.DTypePolicy(name)

        heads, dense = Heads(), [layers.Dense(3)]
        for head in (
            layers.Dense(3),
            layers.Dense(3, dtype="mixed_float16"),
            layers.Dense(3, dtype="float16"),
            layers.Dense(3, name="float64", dtype="float64"),
            keras.Sequential([layers.Dense(3)]),
            keras.Sequential([layers.Dense(3, dtype=policy("float16"))]),
            keras.Sequential([keras.Input((5,), dtype="int32"), *dense]),
            layers.TimeDistributed(layers.Dense(3)),
            layers.TimeDistributed(layers.Dense(3, dtype="float64")),
            named(None, None),
            named("age", "sex"),
            named("sex", "age"),
            named(None, None, dtype="float16"),
            layers.Dense(3, trainable=False),
            layers.Dense(3, kernel_regularizer="l2"),
        ):
            count = heads.count
            with self.subTest(head.get_config()):
                self.assertEqual(heads.add(head), count)
        for index, head in (
            (0, layers.Dense(3, name="again")),
            (1, layers.Dense(3, dtype=policy("mixed_float16"))),
            (8, layers.TimeDistributed(layers.Dense(3, dtype="float64"))),
            (9, named(None, None)),
            (10, named("age", "sex")),
        ):
            self.assertEqual(heads.add(head), index)

    def test_masks_go_through(self):
        heads = Heads([keras.layers.Dense(3)])
        heads.select(0)
        embedding = keras.layers.Embedding(5, 4, mask_zero=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outputs = heads(embedding(np.array([[1, 2, 0]])))
        np.testing.assert_array_equal(
            carried_mask(outputs), [[True, True, False]]
        )

    def test_only_the_selected_head_is_tracked(self):
        heads = Heads([keras.layers.Dense(3), keras.layers.Dense(5)])
        x = np.ones((2, 4), np.float32)
        for index, units in ((0, 3), (1, 5), (0, 3)):
            heads.select(index)
            self.assertEqual(heads(x).shape, (2, units))
            self.assertEqual(heads.compute_output_shape((2, 4)), (2, units))
            self.assertEqual(
                [weight.shape for weight in heads.trainable_weights],
                [(4, units), (units,)],
            )
            self.assertIs(heads.weights[0], heads.head.kernel)

    def test_config_round_trip(self):
        heads = Heads(
            [
                keras.layers.Dense(3, activation="softmax"),
                keras.Sequential([keras.layers.Dense(2)]),
            ]
        )
        serialized = keras.saving.serialize_keras_object(heads)
        again = keras.saving.deserialize_keras_object(
            json.loads(json.dumps(serialized))
        )
        self.assertEqual(again.get_config(), heads.get_config())
        again.select(0)
        np.testing.assert_allclose(
            np.sum(again(np.ones((2, 4)))), 2.0, rtol=1e-6
        )
