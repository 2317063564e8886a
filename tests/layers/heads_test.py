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
