"""Networks with more than one output: all of them are compared."""

import keras
import numpy as np
from absl.testing import parameterized

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite import task_file


def make_model(as_dict):
    features = keras.Input((9,))
    first = keras.layers.Dense(4)(features)
    second = keras.layers.Dense(3)(features)
    parts = {"b": second, "a": first} if as_dict else [first, second]
    model = small_models.make_model(tasks=0)
    head = keras.Model(features, parts)
    small_models.add_random_task(model, 0, head)
    return model


class SeveralOutputsTest(LiteTestCase):
    @parameterized.parameters(True, False)
    def test_they_arrive_by_name(self, as_dict):
        model = make_model(as_dict)
        x = small_models.random_inputs(model)
        expected = model.predict(x, task="task 0", verbose=0)
        names = ["a", "b"] if as_dict else ["outputs_0", "outputs_1"]
        parts = expected if as_dict else dict(zip(names, expected))
        lite.export_task(model, self.path)
        bundle = self.folder / "all.tflite"
        lite.export_bundle(model, bundle)
        runner = lite.TaskRunner(bundle)
        runner.select("task 0")
        for outputs in (lite.run_file(self.path, x), runner.predict(x)):
            self.assertCountEqual(outputs, names)
            for name in names:
                np.testing.assert_allclose(
                    outputs[name], parts[name], atol=1e-5
                )
        agreement = lite.verify_file(model, self.path, x, "task 0")
        self.assertTrue(agreement.predictions_equal)

    @parameterized.parameters("float32", "dynamic_int8")
    def test_a_fault_in_the_last_one_is_noticed(self, precision):
        model = make_model(as_dict=False)
        x = small_models.random_inputs(model)
        values = model.bank.effective("task 0") + model.bank.private("task 0")
        outputs = model.predict(x, task="task 0", verbose=0)
        names = ["outputs_0", "outputs_1"]
        expected = dict(zip(names, outputs))
        kind = lite.PRECISIONS[precision]
        content, _ = task_file.task_content(model, values, kind, 1)
        samples = lite.Samples([x], None, "verification_data")
        checked = (samples, model.switch.inputs, kind, 0.9)
        lite.verify_content(content, expected, *checked)
        expected["outputs_1"] = -expected["outputs_1"]
        with self.assertRaisesRegex(lite.ExportError, "output 'outputs_1'"):
            lite.verify_content(content, expected, *checked)

    def test_labels_of_each_output(self):
        model = make_model(as_dict=True)
        x = small_models.random_inputs(model)
        outputs = model.predict(x, task="task 0", verbose=0)
        y = {name: part.argmax(-1) for name, part in outputs.items()}
        report = lite.export_task(model, self.path, verification_data=(x, y))
        self.assertEqual(report.agreement.accuracy, 1.0)

    def test_labels_by_the_names_of_outputs_in_a_list(self):
        features = keras.Input((9,))
        first = keras.layers.Dense(4, name="z")(features)
        second = keras.layers.Dense(3, name="a")(features)
        model = small_models.make_model(tasks=0)
        head = keras.Model(features, [first, second])
        small_models.add_random_task(model, 0, head)
        x = small_models.random_inputs(model)
        outputs = model.predict(x, task="task 0", verbose=0)
        y = {name: part.argmax(-1) for name, part in zip("za", outputs)}
        report = lite.export_task(model, self.path, verification_data=(x, y))
        self.assertEqual(report.agreement.accuracy, 1.0)
        bundled = lite.export_bundle(
            model,
            self.folder / "all.tflite",
            verification_data={"task 0": (x, y)},
        )
        self.assertEqual(bundled.agreements["task 0"].accuracy, 1.0)
