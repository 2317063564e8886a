"""Tests of KerasHub's backbones, where KerasHub is installed."""

import keras
import numpy as np
import pytest
from absl.testing import parameterized
from keras import layers, ops

from examples.backbones import Backbone
from examples.compatibility import make_model, try_out
from tsn_keras import keras_internals

keras_hub = pytest.importorskip("keras_hub")


def bert():
    tokens = keras.Input((10,), dtype="int32")
    inner = keras_hub.models.BertBackbone(
        vocabulary_size=20,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=10,
    )
    features = inner(
        {
            "token_ids": tokens,
            "segment_ids": ops.zeros_like(tokens),
            "padding_mask": ops.ones_like(tokens),
        }
    )
    return keras.Model(tokens, features["pooled_output"])


def resnet():
    inner = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    for layer in keras_internals.flatten_layers(inner):
        if isinstance(layer, layers.BatchNormalization):
            # Theirs is for thousands of steps.
            vars(layer).update(momentum=0.8)
    return keras.Sequential([inner, layers.GlobalAveragePooling2D()])


BACKBONES = {
    "BERT": (Backbone(bert, (10,), num_tokens=20, epochs=12), 10),
    "ResNet": (Backbone(resnet, (16, 16, 3), epochs=8), 3),
}


class KerasHubTest(parameterized.TestCase):
    @parameterized.parameters(*BACKBONES)
    def test_learns_three_tasks(self, name):
        keras.utils.set_random_seed(0)
        backbone, num_kernels = BACKBONES[name]
        outcome = try_out(backbone, make_model(backbone, fine_tune_steps=0))
        self.assertEqual(outcome.kernels, num_kernels)
        # Guessing gets 0.33.
        self.assertGreater(np.mean(outcome.accuracies), 0.6)
        self.assertTrue(outcome.bit_exact)
        self.assertEqual(outcome.reload_difference, 0.0)
        self.assertTrue(outcome.exported)
