import numpy as np
from absl.testing import parameterized

from tsn_keras.bank.plane import Plane


class PlaneTest(parameterized.TestCase):
    def test_every_task_sees_what_was_there(self):
        rng = np.random.default_rng(0)
        shape = (7, 3, 5)
        plane = Plane(shape)
        owned, frozen = np.zeros(shape, bool), np.zeros(shape, np.float32)
        seen = [owned.copy()]
        for _ in range(6):
            own = ~owned & (rng.random(shape) < 0.2)
            values = rng.normal(size=np.count_nonzero(own)).astype(np.float32)
            plane.lay(own, values)
            owned |= own
            frozen[own] = values
            seen.append(owned.copy())
        self.assertEqual(plane.count, 6)
        np.testing.assert_array_equal(plane.frozen, frozen)
        for count, expected in enumerate(seen):
            np.testing.assert_array_equal(plane.owned(count), expected)
