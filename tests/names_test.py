"""Tests of how names of tasks and classes are kept."""

import os
import tempfile
import time
import unicodedata

import keras
import numpy as np
from absl.testing import absltest, parameterized

from tests.digits_tasks import TEST, digits, fit, make_model, reloaded
from tsn_keras import lite
from tsn_keras.pruning import MagnitudePruning

# Folders have such names on some systems.
DECOMPOSED = unicodedata.normalize("NFD", "Müller é")
COMPOSED = unicodedata.normalize("NFC", DECOMPOSED)


class NamesTest(parameterized.TestCase):
    def test_any_form_of_a_name_is_one_name(self):
        self.assertNotEqual(DECOMPOSED, COMPOSED)
        model = make_model()
        names = [DECOMPOSED, *"bcdefghij"]
        model.add_task(
            DECOMPOSED, head=keras.layers.Dense(10), class_names=names
        )
        fit(model)
        model.consolidate(digits(0, TEST), verbose=0)
        self.assertEqual(model.tasks, (COMPOSED,))
        self.assertEqual(model.task(COMPOSED).class_names[0], COMPOSED)
        with self.assertRaisesRegex(ValueError, "already"):
            model.add_task(COMPOSED, head=keras.layers.Dense(10))
        x, _ = digits(0, TEST)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "all.tflite")
        lite.export_bundle(model, path)
        runner = lite.TaskRunner(path)
        expected = model.predict(x, verbose=0)
        for name in (DECOMPOSED, COMPOSED):
            for one in (model, reloaded(model)):
                found = one.predict(x, task=name, verbose=0)
                np.testing.assert_array_equal(found, expected)
                self.assertEqual(one.report(name).name, COMPOSED)
                self.assertEqual(one.task(name).name, COMPOSED)
            runner.select(name)
            self.assertEqual(runner.selected, COMPOSED)
            self.assertEqual(runner.labels[0], COMPOSED)

    @parameterized.parameters("(a|aa)+$", "(?:.*?a){25}$")
    def test_a_pattern_that_would_take_for_ever(self, pattern):
        """A file of somebody else may hold it."""
        backbone = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3, name="a" * 60 + "b")],
            name="n",
        )
        for arguments in (
            {"kernels": pattern},
            {"pruning": MagnitudePruning({pattern: 0.5})},
        ):
            start = time.monotonic()
            with self.assertRaisesRegex(ValueError, "more than 1 second"):
                model = make_model(backbone, **arguments)
                model.pruning.target("n/" + "a" * 60 + "b/kernel")
            self.assertLess(time.monotonic() - start, 10.0)

    def test_a_pattern_that_is_none(self):
        for pattern in (
            *("(", "a" * 1001, "(" * 450 + "a" + ")" * 450, "(?R)"),
            *("(((a{1000}){1000}){1000})", "a{9}" * 20, "a{99999999999999}"),
        ):
            with self.assertRaisesRegex(ValueError, "no regular expression"):
                make_model(kernels=pattern)


if __name__ == "__main__":
    absltest.main()
