"""Tests of the plots."""

import builtins
import os
import sys
import tempfile
import types
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tsn_keras.evaluation import (
    AccuracyMatrix,
    plot_accuracy_matrix,
    plot_capacity,
)


def make_matrix(tasks, rows=None):
    matrix = AccuracyMatrix(tasks)
    for row in range(len(matrix) if rows is None else rows):
        for column in range(row + 1):
            matrix.record(row, column, 0.9 - 0.01 * (row - column))
    return matrix


def make_capacity(sizes, dense):
    total = sum(sizes.values())
    return types.SimpleNamespace(
        bytes=sizes,
        total_bytes=total,
        dense_bytes=dense,
        fraction=total / dense,
    )


class PlotsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(
            self.enterContext(tempfile.TemporaryDirectory()), "p.png"
        )

    def assert_picture(self):
        from matplotlib import image

        pixels = image.imread(self.path)
        self.assertGreater(min(pixels.shape[:2]), 100)
        self.assertGreater(np.std(pixels[..., :3]), 0.01)

    @parameterized.named_parameters(
        ("one", 1, None),
        ("names", ["permutation_0", "permutation_1"], None),
        ("many", 25, None),
        ("stopped", 3, 1),
        ("empty", 2, 0),
    )
    def test_accuracy_matrix(self, tasks, rows):
        plot_accuracy_matrix(make_matrix(tasks, rows), self.path)
        self.assert_picture()

    @parameterized.parameters(
        ({"masks": 31_000, "codes": 17_000, "metadata": 0}, 357_600),
        ({"private_variables": 900_000}, 500),
        ({"masks": 0}, 4),
        ({}, 4),
    )
    def test_capacity(self, sizes, dense):
        plot_capacity(make_capacity(sizes, dense), self.path)
        self.assert_picture()

    def test_all_right(self):
        matrix = AccuracyMatrix(1)
        matrix.record(0, 0, 1.0)
        plot_accuracy_matrix(matrix, self.path)
        self.assert_picture()

    def test_no_global_state(self):
        plot_accuracy_matrix(make_matrix(2), self.path)
        pyplot = sys.modules.get("matplotlib.pyplot")
        self.assertEmpty(pyplot.get_fignums() if pyplot else [])

    def test_without_matplotlib(self):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name.startswith("matplotlib"):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        with mock.patch.object(builtins, "__import__", without):
            with self.assertRaisesRegex(ImportError, "pip install matplotlib"):
                plot_accuracy_matrix(make_matrix(2), self.path)
            with self.assertRaisesRegex(ImportError, "pip install matplotlib"):
                plot_capacity(make_capacity({}, 1), self.path)
