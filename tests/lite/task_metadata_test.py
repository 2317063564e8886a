"""What files of tasks say of their tasks."""

import zipfile

import flatbuffers
import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.files.flatbuffer import FlatModel

layers = keras.layers
NAMES = ["one", "two", "drei", "größer als 3"]
FLAGS = flatbuffers.number_types


class Table:
    """Reads a flatbuffer by the numbers of its fields."""

    def __init__(self, content, place):
        self.table = flatbuffers.table.Table(content, place)

    @classmethod
    def root(cls, content):
        place = flatbuffers.encode.Get(
            FLAGS.UOffsetTFlags.packer_type, content, 0
        )
        return cls(content, place)

    def place(self, field):
        return self.table.Offset(4 + 2 * field)

    def text(self, field):
        place = self.place(field)
        return self.table.String(place + self.table.Pos).decode()

    def tables(self, field):
        place = self.place(field)
        if not place:
            return []
        start = self.table.Vector(place)
        return [
            Table(self.table.Bytes, self.table.Indirect(start + 4 * index))
            for index in range(self.table.VectorLen(place))
        ]

    def one(self, field):
        place = self.place(field) + self.table.Pos
        return Table(self.table.Bytes, self.table.Indirect(place))

    def number(self, field):
        place = self.place(field) + self.table.Pos
        return self.table.Get(FLAGS.Int8Flags, place)

    def floats(self, field):
        place = self.place(field)
        count = self.table.VectorLen(place)
        return np.frombuffer(
            self.table.Bytes, "<f4", count, self.table.Vector(place)
        ).tolist()


def named_model(names=NAMES, head=None, backbone=None):
    """Returns a model of one task, and data to verify it with."""
    backbone = backbone or small_models.dense_backbone()
    pruning = tsn_keras.pruning.MagnitudePruning(0.5)
    model = tsn_keras.ContinualModel(backbone, pruning)
    model.compile("sgd", "mse", metrics=["mae"])
    head = head or layers.Dense(4)
    model.add_task("an 'a'", head, class_names=names)
    x = small_models.random_inputs(model, 40)
    y = np.zeros((40, *model.switch.head.compute_output_shape((1, 9))[1:]))
    model.fit(x, y, verbose=0)
    model.consolidate((x, y), verbose=0)
    return model


class TaskMetadataTest(LiteTestCase):
    def metadata(self):
        found = FlatModel.from_bytes(self.path.read_bytes())
        content = found.metadata("TFLITE_METADATA")
        self.assertEqual(content[4:8], b"M001")
        return Table.root(content)

    def test_standard_metadata(self):
        model = named_model()
        report = lite.export_task(model, self.path)
        self.assertEqual(report.bytes, self.path.stat().st_size)
        root = self.metadata()
        self.assertEqual(root.text(0), "an 'a'")
        quality = model.report("an 'a'").quality_after
        self.assertIn(f"mae {quality:.6g}", root.text(1))
        self.assertEqual(root.text(7), "1.0.0")
        (graph,) = root.tables(3)
        (given,), (put_out,) = graph.tables(2), graph.tables(3)
        self.assertEqual(given.text(0), "inputs")
        self.assertEqual(put_out.text(0), "outputs")
        (labels,) = put_out.tables(6)
        self.assertEqual(labels.text(0), "labels.txt")
        self.assertEqual(labels.number(2), 2)
        with zipfile.ZipFile(self.path) as archive:
            self.assertEqual(archive.namelist(), ["task.json", "labels.txt"])
            text = archive.read("labels.txt").decode()
        self.assertEqual(text.splitlines(), NAMES)

    def test_read_again(self):
        model = named_model()
        lite.export_task(model, self.path)
        found = lite.read_task_metadata(self.path)
        self.assertEqual(found["task"], "an 'a'")
        self.assertEqual(found["class_names"], NAMES)
        self.assertEqual(found["monitor"], "mae")
        self.assertEqual(found["quality"], model.report("an 'a'").quality_after)
        self.assertIsNone(found["normalization"])

    @parameterized.parameters(
        "float16", "dynamic_int8", "int8", "float32", None
    )
    def test_in_files_of_every_kind(self, precision):
        model = named_model()
        x = small_models.random_inputs(model, 40)
        lite.export_task(
            model,
            self.path,
            precision=precision or "float32",
            batch_size=1 if precision else None,
            representative_data=x,
            min_agreement=0,
        )
        self.assertEqual(lite.read_task_metadata(self.path)["task"], "an 'a'")
        self.assertEqual(self.metadata().text(0), "an 'a'")

    def test_equal_files_have_equal_bytes(self):
        model = named_model()
        contents = set()
        for _ in range(2):
            lite.export_task(model, self.path)
            contents.add(self.path.read_bytes())
        self.assertLen(contents, 1)

    def test_two_answers_of_one_output(self):
        model = named_model(["no", "yes"], layers.Dense(1))
        lite.export_task(model, self.path)
        root = self.metadata()
        (put_out,) = root.tables(3)[0].tables(3)
        self.assertEmpty(put_out.tables(6))
        names = [part.text(0) for part in root.tables(6)]
        self.assertEqual(names, ["task.json", "labels.txt"])

    def test_tensors_are_in_the_order_of_the_file(self):
        left, right = keras.Input((5,), name="b"), keras.Input((3,), name="a")
        x = layers.Dense(9)(layers.Concatenate()([left, right]))
        backbone = keras.Model({"b": left, "a": right}, x)
        inputs = keras.Input((9,))
        outputs = [layers.Dense(size)(inputs) for size in (2, 4)]
        model = small_models.make_model(backbone, tasks=0)
        small_models.add_random_task(model, 0, keras.Model(inputs, outputs))
        lite.export_task(model, self.path)
        interpreter = lite.make_interpreter(self.path.read_bytes())
        (graph,) = self.metadata().tables(3)
        sizes = {"a": 3, "b": 5, "outputs_0": 2, "outputs_1": 4}
        for tables, details in (
            (graph.tables(2), interpreter.get_input_details()),
            (graph.tables(3), interpreter.get_output_details()),
        ):
            found = [sizes[table.text(0)] for table in tables]
            self.assertEqual(found, [int(d["shape"][-1]) for d in details])

    def test_normalization_in_the_network(self):
        adapted = layers.Normalization(
            mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 4.0]
        )
        for first, mean, std in (
            ([layers.Rescaling(1 / 255)], [0.0], [255.0]),
            ([layers.Rescaling(1 / 127.5, offset=-1)], [127.5], [127.5]),
            ([adapted], [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
            ([layers.Rescaling(0.5), adapted], [2.0, 4.0, 6.0], [4.0] * 3),
        ):
            backbone = keras.Sequential(
                [
                    keras.Input((4, 4, 3)),
                    *first,
                    layers.Conv2D(2, 3),
                    layers.Flatten(),
                ]
            )
            model = small_models.make_model(backbone, tasks=1)
            lite.export_task(model, self.path)
            found = lite.read_task_metadata(self.path)["normalization"]
            self.assertEqual(found, {"mean": mean, "std": std})
            (graph,) = self.metadata().tables(3)
            (given,) = graph.tables(2)
            self.assertIn(str(mean), given.text(1))
            # An image of three colours, which hosts leave as it is.
            content = given.one(3)
            self.assertEqual(
                (content.number(0), content.one(1).number(0)), (2, 1)
            )
            (unit,) = given.tables(4)
            options = unit.one(1)
            self.assertEqual(options.floats(0), [0.0])
            self.assertEqual(options.floats(1), [1.0])

    def test_normalization_of_a_functional_model(self):
        inputs = keras.Input((4,))
        x = layers.Dense(9)(layers.Rescaling(2.0)(inputs))
        branch = layers.Rescaling(3.0)(layers.Dense(9)(inputs))
        for backbone, known in (
            (keras.Model(inputs, x), {"mean": [0.0], "std": [0.5]}),
            (keras.Model(inputs, branch), None),
        ):
            model = small_models.make_model(backbone, tasks=1)
            lite.export_task(model, self.path)
            found = lite.read_task_metadata(self.path)["normalization"]
            self.assertEqual(found, known)

    def test_other_files_say_nothing(self):
        model = small_models.make_model(tasks=1)
        lite.export_dense(model, self.path)
        with self.assertRaisesRegex(ValueError, "does not say.*export_task"):
            lite.read_task_metadata(self.path)
