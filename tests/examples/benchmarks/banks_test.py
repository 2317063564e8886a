import numpy as np
from absl.testing import parameterized

from examples.benchmarks import banks, networks


class BanksTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_tasks_fill_the_bank(self, shared):
        network = networks.Network(lambda: networks.mlp(8), (784,), 4, 1)
        model = banks.model_with_tasks(network, 3, shared)
        self.assertLen(model.tasks, 3)
        self.assertEqual(model.bank.num_planes, 1 if shared else 3)
        for task in model.tasks[1:]:
            own, borrowed = model.bank.masks(task)[0]
            self.assertEqual(borrowed.any(), shared)
            self.assertBetween(own.mean(), 0.03, 0.06)
            with model.switch.reading(task):
                kernel = model.switch.kernels[0]
                np.testing.assert_array_equal(
                    np.asarray(kernel.effective()) != 0, own | borrowed
                )
