"""One file of several networks: what is equal is stored once."""

from tests.lite.lite_test_case import LiteTestCase
from tests.lite.micro.micro_test_case import data_of, dense_model
from tsn_keras import lite
from tsn_keras.lite.files.flatbuffer import FlatModel
from tsn_keras.lite.micro.task_choice import with_task_choice


class TaskChoiceTest(LiteTestCase):
    def test_equal_weights_are_stored_once(self):
        model = dense_model()
        lite.export_task(
            model,
            self.path,
            precision="int8",
            compression="micro",
            representative_data=data_of(model)["task 0"],
            min_agreement=0,
        )
        network = FlatModel.from_bytes(self.path.read_bytes())
        sizes = [
            len(with_task_choice([network] * count).to_bytes(join=True))
            for count in (1, 2, 3, 4)
        ]
        added = sizes[3] - sizes[2]
        # Tensors and operators only, in a sixth of the bytes.
        self.assertLess(added, sizes[0] / 3)
        self.assertGreater(added, 0)
