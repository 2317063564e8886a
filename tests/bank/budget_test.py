import json

import numpy as np
from absl.testing import absltest, parameterized

from tsn_keras.bank import BudgetError, Capacity, widest_width


class WidestWidthTest(parameterized.TestCase):
    @parameterized.parameters(
        (0, 8), (24, 8), (25, 7), (28, 4), (30, 2), (31, 1)
    )
    def test_uniform_use(self, used, width):
        used = np.full((4, 5), used, np.uint8)
        owned = np.zeros((4, 5), bool)
        found = widest_width(used, owned, 20, 1, 8, "kernel")
        self.assertEqual(found, width)

    def test_is_the_widest_with_room(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            used = rng.integers(0, 33, (6, 7)).astype(np.uint8)
            owned = rng.random((6, 7)) < 0.2
            count = int(rng.integers(1, 20))
            width = widest_width(used, owned, count, 1, 8, "kernel")

            def room(width):
                return (owned | (used + width <= 32)).sum()

            self.assertGreaterEqual(room(width), count)
            if width < 8:
                self.assertLess(room(width + 1), count)

    def test_owned_slots_need_no_bits(self):
        used = np.full((4, 5), 32, np.uint8)
        owned = np.arange(20).reshape(4, 5) < 6
        self.assertEqual(widest_width(used, owned, 6, 1, 8, "kernel"), 8)
        with self.assertRaises(BudgetError):
            widest_width(used, owned, 7, 1, 8, "kernel")

    def test_float_width(self):
        used = np.zeros((2, 2), np.uint8)
        free = np.zeros((2, 2), bool)
        self.assertEqual(widest_width(used, free, 4, 32, 32, "kernel"), 32)
        used[0, 0] = 1
        with self.assertRaises(BudgetError):
            widest_width(used, free, 4, 32, 32, "kernel")

    def test_message_says_what_is_left(self):
        used = np.uint8([[32, 30], [30, 0]])
        owned = np.zeros((2, 2), bool)
        with self.assertRaisesRegex(
            BudgetError,
            "'a/kernel'.*needs 2 of 4 slots with 3 free bits.*1 have them.*"
            "average 23.0 of 32.*at most 32.*max_width",
        ):
            widest_width(used, owned, 2, 3, 8, "a/kernel")
        self.assertTrue(issubclass(BudgetError, ValueError))


class CapacityTest(absltest.TestCase):
    def test_total_and_fraction(self):
        capacity = Capacity({"codes": 30, "masks": 20, "container": 0}, 200)
        self.assertEqual(capacity.total_bytes, 50)
        self.assertEqual(capacity.fraction, 0.25)

    def test_to_dict(self):
        kinds = {"codes": 30, "masks": 20}
        entries = Capacity(kinds, 100).to_dict()
        self.assertEqual(
            json.loads(json.dumps(entries)),
            {
                "bytes": kinds,
                "total_bytes": 50,
                "dense_bytes": 100,
                "fraction": 0.5,
            },
        )
        entries["bytes"]["codes"] = 0
        self.assertEqual(kinds["codes"], 30)

    def test_capacity_as_a_table(self):
        capacity = Capacity({"codes": 30, "masks": 70}, 1000)
        self.assertEqual(
            str(capacity).splitlines(),
            [
                "Weight bank: 100 bytes, 10.00% of one dense network (1,000 "
                "bytes)",
                "kind   bytes  share",
                "masks     70  70.0%",
                "codes     30  30.0%",
            ],
        )
        self.assertEqual(
            capacity.to_csv(),
            '"kind","bytes","share"\n"masks",70,0.7\n"codes",30,0.3\n',
        )
        self.assertIn("<td>masks</td>", capacity._repr_html_())
        self.assertEqual(list(capacity.to_dataframe()["bytes"]), [70, 30])
        self.assertIn("0.0%", str(Capacity({"codes": 0}, 10)))
