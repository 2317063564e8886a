import json
import pathlib
import tempfile

from absl.testing import absltest

import tsn_keras
from examples.published_benchmarks import jobs, methods
from examples.published_benchmarks.benchmarks import BENCHMARKS
from tests.example_process import run_example
from tests.examples.published_benchmarks.small_folders import (
    make_tiny_imagenet,
)


class PublishedTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enterContext(tempfile.TemporaryDirectory())
        )

    def run_published(self, *flags):
        return run_example(
            *("-m", "examples.published", "--preset=short"),
            f"--results={self.folder / 'published.jsonl'}",
            f"--work_dir={self.folder / 'work'}",
            *flags,
        )

    def test_two_methods_on_small_data_in_the_same_layout(self):
        make_tiny_imagenet(self.folder)
        flags = (
            *("--benchmark=tiny_imagenet", "--method=fine_tuning,packnet"),
            *("--num_tasks=2", f"--tiny_imagenet={self.folder}"),
        )
        printed = self.run_published(*flags)
        self.assertIn("0 jobs are done", printed)
        self.assertIn("2/2 tiny_imagenet_packnet_0_short_natural", printed)
        path = self.folder / "published.jsonl"
        written = path.read_text()
        lines = list(map(json.loads, written.splitlines()))
        self.assertEqual(
            [line["method"] for line in lines], ["fine_tuning", "packnet"]
        )
        for line in lines:
            self.assertLen(line["accuracies"], 2)
            self.assertEqual(line["total_bytes"], sum(line["bytes"].values()))
            self.assertGreater(line["peak_megabytes"], 100)
            self.assertGreater(line["inference_ms"], 0)
        self.assertTrue(lines[1]["bit_exact"])
        self.assertEqual(lines[1]["backward_transfer"], 0.0)

        self.assertIn("2 jobs are done", self.run_published(*flags))
        self.assertEqual(path.read_text(), written)
        with self.assertRaisesRegex(
            AssertionError, "--epochs=3 instead of 1.*another --results"
        ):
            self.run_published(*flags, "--epochs=3")
        self.assertEqual(path.read_text(), written)

    def test_a_job_that_was_begun_with_other_flags(self):
        job = jobs.Job("tiny_imagenet", "ewc", 0, "short", "natural")
        folder = self.folder / job.name()
        folder.mkdir()
        before = {**job.settings(), "batch_size": 5}
        (folder / jobs.SETTINGS_FILE).write_text(json.dumps(before))
        with self.assertRaisesRegex(
            ValueError, "--batch_size=10 instead of 5.*another --work_dir"
        ):
            jobs.run_job(job, jobs.Places(str(self.folder)))

    def test_every_method_is_made_for_every_benchmark(self):
        for benchmark in BENCHMARKS.values():
            tasks = benchmark.num_tasks["paper"]
            for method in methods.METHODS.values():
                backbone = BENCHMARKS["permuted_mnist"].make_backbone((4,))
                made = method.make(
                    backbone, tasks, (method.strengths or (None,))[0], 0
                )
                self.assertTrue(
                    isinstance(
                        made,
                        tsn_keras.ContinualModel
                        | tsn_keras.baselines.Baseline,
                    )
                )
