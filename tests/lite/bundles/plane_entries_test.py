"""Slots in two groups of rows take fewer bits and all come back."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.lite.bundles.plane_entries import group_rows
from tsn_keras.lite.bundles.streams import encode_gaps


def decoded(groups, num_columns):
    """Returns all slots in the order of the groups, as a graph finds them."""
    dense, sparse = groups.positions
    places = np.concatenate([dense, sparse + groups.num_dense])
    rows = np.argsort(~groups.dense_rows, kind="stable")
    columns = np.arange(num_columns)
    if groups.used_columns is not None:
        columns = np.flatnonzero(groups.used_columns)
    row, column = np.divmod(places, groups.num_columns)
    return rows[row] * num_columns + columns[column]


class RowGroupsTest(parameterized.TestCase):
    @parameterized.product(
        seed=(0, 1, 2, 3), density=(0.01, 0.1, 0.6), drop_columns=(True, False)
    )
    def test_slots_come_back(self, seed, density, drop_columns):
        random = np.random.default_rng(seed)
        mask = random.random((30, 70)) < 2 * density * random.random((30, 1))
        mask[0, :20] = True
        mask[:, random.integers(0, 70, 20)] = False
        slots = np.flatnonzero(mask)
        groups = group_rows(slots, mask.shape, drop_columns)
        np.testing.assert_array_equal(
            decoded(groups, 70), slots[groups.entries]
        )
        np.testing.assert_array_equal(
            np.sort(groups.entries), np.arange(slots.size)
        )

    def test_they_pay_where_rows_differ(self):
        random = np.random.default_rng(0)
        density = np.where(np.arange(100) < 30, 0.15, 0.01)[:, None]
        mask = random.random((100, 800)) < density
        mask[:, ::2] = False
        slots = np.flatnonzero(mask)
        plain = encode_gaps(slots).num_bits
        rows_only = group_rows(slots, mask.shape, drop_columns=False)
        self.assertBetween(rows_only.dense_rows.sum(), 25, 35)
        self.assertLess(rows_only.num_bits, 0.95 * plain)
        both = group_rows(slots, mask.shape, drop_columns=True)
        self.assertLess(both.num_bits, 0.8 * plain)

    @parameterized.parameters(
        (np.ones((3, 4)),), (np.eye(5),), (np.eye(1, 6),), (np.eye(4)[:, ::3],)
    )
    def test_rows_that_do_not_differ_are_no_groups(self, mask):
        slots = np.flatnonzero(mask)
        self.assertIsNone(group_rows(slots, mask.shape, drop_columns=True))
