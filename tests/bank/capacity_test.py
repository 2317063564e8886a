import json

from absl.testing import absltest

from tsn_keras.bank import Capacity


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
