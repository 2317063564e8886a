"""Files as objects: what is changed in them, and what stays."""

import numpy as np

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.files import cleanup
from tsn_keras.lite.files.flatbuffer import BUILTIN, FlatModel, buffer_places


class FlatModelTest(LiteTestCase):
    def setUp(self):
        super().setUp()
        self.model = small_models.make_model(tasks=1)
        lite.export_task(self.model, self.path)
        self.content = self.path.read_bytes()

    def outputs(self, content, name=None):
        runner = lite.make_interpreter(content).get_signature_runner(name)
        x = small_models.random_inputs(self.model, 1)
        return runner(inputs=x)["outputs"]

    def assert_computes_the_same(self, content, name=None):
        np.testing.assert_array_equal(
            self.outputs(content, name), self.outputs(self.content)
        )

    def test_nothing_changes_by_itself(self):
        content = FlatModel.from_bytes(self.content).to_bytes()
        self.assert_computes_the_same(content)
        self.assertEqual(lite.operators(content), lite.operators(self.content))

    def test_large_data_are_aligned(self):
        content = FlatModel.from_bytes(self.content).to_bytes()
        places = buffer_places(content).values()
        large = [start for start, size in places if size > 99]
        self.assertNotEmpty(large)
        self.assertEqual([start % 16 for start in large], [0] * len(large))

    def test_metadata(self):
        model = FlatModel.from_bytes(self.content)
        self.assertIsNone(model.metadata("note"))
        model.add_metadata("note", b"text")
        model = FlatModel.from_bytes(model.to_bytes())
        self.assertEqual(model.metadata("note"), b"text")
        model.keep_metadata(("other",))
        model.drop_buffers(join=True)
        content = model.to_bytes()
        self.assertIsNone(FlatModel.from_bytes(content).metadata("note"))
        self.assertNotIn(b"text", content)

    def test_an_operator_at_the_end(self):
        model = FlatModel.from_bytes(self.content)
        graph = model.graph("serving_default")
        two = graph.add_constant(np.full(4, 2, np.float32))
        doubled = graph.append(BUILTIN.MUL, [graph.outputs[0], two], (1, 4))
        model.replace_outputs("serving_default", {"outputs": doubled})
        np.testing.assert_array_equal(
            self.outputs(model.to_bytes()), 2 * self.outputs(self.content)
        )

    def test_a_copy_under_another_name_is_independent(self):
        model = FlatModel.from_bytes(self.content)
        other = model.extracted("serving_default", "other")
        for graph in other.graphs:
            cleanup.drop_unused_tensors(graph)
        cleanup.drop_unreachable(other)
        other.drop_buffers(join=False)
        self.assert_computes_the_same(other.to_bytes(), "other")
        self.assert_computes_the_same(model.to_bytes(), "serving_default")
        with self.assertRaises(KeyError):
            other.graph("serving_default")

    def test_equal_buffers_are_joined(self):
        model = FlatModel.from_bytes(self.content)
        graph = model.graphs[0]
        large = np.arange(500, dtype=np.float32)
        for _ in range(3):
            graph.add_constant(large)
        size = len(model.to_bytes())
        model.drop_buffers(join=True)
        content = model.to_bytes()
        self.assertLess(len(content), size - 2 * large.nbytes)
        self.assert_computes_the_same(content)
        cleanup.drop_unused_tensors(graph)
        model.drop_buffers(join=False)
        self.assertLess(len(model.to_bytes()), size - 3 * large.nbytes)
        self.assert_computes_the_same(model.to_bytes())

    def test_an_input_becomes_a_constant(self):
        model = FlatModel.from_bytes(self.content)
        graph = model.graph("serving_default")
        x = small_models.random_inputs(self.model, 1)
        (index,) = graph.inputs
        graph.make_constant(index, model.add_buffer(x.tobytes()))
        runner = lite.make_interpreter(model.to_bytes()).get_signature_runner()
        np.testing.assert_array_equal(
            runner()["outputs"], self.outputs(self.content)
        )
