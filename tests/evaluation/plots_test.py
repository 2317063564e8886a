"""Tests of the plots."""

import builtins
import os
import pathlib
import sys
import tempfile
import types
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import random_bank
from tsn_keras.bank import WeightBank
from tsn_keras.evaluation import (
    PUBLISHED,
    AccuracyMatrix,
    plot_accuracy_against_bytes,
    plot_accuracy_matrix,
    plot_accuracy_over_time,
    plot_capacity,
    plot_mask_overlap,
    plot_occupancy,
)

# A wrong formula, half a formula, a name that fills the picture, two lines.
HOSTILE = ["$\\frac$", "$a", "x" * 300, "two\nlines", "<b>", "100 %"]


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
    def test_matrices(self, tasks, rows):
        for plot in (plot_accuracy_matrix, plot_accuracy_over_time):
            plot(make_matrix(tasks, rows), self.path)
            self.assert_picture()

    @parameterized.parameters(0, 1, 4)
    def test_banks(self, num_tasks):
        bank = random_bank(num_tasks)
        for plot in (plot_occupancy, plot_mask_overlap):
            plot(bank, self.path)
            self.assert_picture()

    def test_a_bank_without_kernels(self):
        plot_occupancy(WeightBank([], []), self.path, title="nothing here")
        self.assertTrue(os.path.exists(self.path))

    @parameterized.parameters(None, *PUBLISHED)
    def test_accuracy_against_bytes(self, published):
        results = {"ours": (0.97, 0.13), "the same": (0.97, 0.13)}
        plot_accuracy_against_bytes(results, self.path, published)
        self.assert_picture()

    def test_no_result(self):
        plot_accuracy_against_bytes({}, self.path)
        self.assert_picture()

    def test_what_is_far_below_stands_at_the_edge(self):
        results = {"good": (0.97, 0.1), "near": (0.9, 0.1), "bad": (0.41, 1.0)}
        path = pathlib.Path(self.path).with_suffix(".svg")
        plot_accuracy_against_bytes(results, path)
        written = path.read_text()
        self.assertIn("<!-- bad (41 %) -->", written)
        self.assertIn("<!-- near -->", written)
        self.assertNotIn("<!-- 60 -->", written)

    def test_published_numbers_are_fractions(self):
        for rows in PUBLISHED.values():
            for name, accuracy, part in rows:
                self.assertBetween(accuracy, 0.5, 1.0, name)
                self.assertBetween(part, 0.1, 10.0, name)

    def test_names_are_no_mathematics(self):
        matrix, results = make_matrix(HOSTILE), {n: (0.5, 1) for n in HOSTILE}
        for title in ({}, {"title": HOSTILE[0]}, {"title": HOSTILE[2]}):
            plot_accuracy_matrix(matrix, self.path, **title)
            plot_accuracy_over_time(matrix, self.path, **title)
            plot_accuracy_against_bytes(results, self.path, **title)
            plot_mask_overlap(random_bank(2), self.path, **title)
            plot_occupancy(random_bank(2), self.path, **title)
            plot_capacity(make_capacity({HOSTILE[0]: 3}, 4), self.path, **title)
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
