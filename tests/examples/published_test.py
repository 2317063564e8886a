import json
import pathlib
import tempfile
from unittest import mock

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

    def test_one_line_and_no_other_flags(self):
        make_tiny_imagenet(self.folder)
        flags = (
            *("--benchmark=tiny_imagenet", "--method=fine_tuning"),
            *("--num_tasks=2", f"--tiny_imagenet={self.folder}"),
        )
        printed = self.run_published(*flags)
        self.assertIn("1/1 tiny_imagenet_fine_tuning_0_short_natural", printed)
        self.assertIn("| fine-tuning | 1 |", printed)
        path = self.folder / "published.jsonl"
        written = path.read_text()
        line = json.loads(written)
        self.assertLen(line["accuracies"], 2)
        self.assertEqual(line["total_bytes"], sum(line["bytes"].values()))
        self.assertGreater(line["peak_megabytes"], 100)
        self.assertGreater(line["inference_ms"], 0)
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

    def test_as_many_tasks_as_there_is_room_for(self):
        make_tiny_imagenet(self.folder)
        dense = methods.ours("dense", pruning=None, quantization=None)
        job = jobs.Job("tiny_imagenet", "dense", 0, "short", "natural", 2)
        folders = (("tiny_imagenet", str(self.folder)),)
        with mock.patch.dict(methods.METHODS, dense=dense):
            line = jobs.run_job(
                job, jobs.Places(str(self.folder), folders=folders)
            )
        self.assertEqual((line["learned"], len(line["accuracies"])), (1, 1))
        self.assertGreater(line["fraction"], 1.0)

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
