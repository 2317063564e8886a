import pathlib
import tempfile

from absl.testing import absltest

from examples.published_benchmarks import table

PAPER = {"num_tasks": 10, "epochs": 5, "batch_size": 10}


def make_line(method="ewc", accuracy=0.92, seed=0, settings=PAPER, **values):
    return {
        **{"benchmark": "permuted_mnist", "method": method, "seed": seed},
        **{"preset": "paper", "order": "natural", "settings": settings},
        **{"strength": 10.0, "accuracy": accuracy, "worst": 0.9},
        **{"backward_transfer": -0.01, "total_bytes": 1000, "fraction": 3.0},
        **{"training_seconds": 10.0, "consolidation_seconds": 2.0},
        **{"peak_megabytes": 900, "inference_ms": 1.5},
        **values,
    }


def row_of(text, title):
    (row,) = [line for line in text.splitlines() if f"| {title}" in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


class TableTest(absltest.TestCase):
    def test_mean_and_spread_over_seeds(self):
        lines = [make_line(accuracy=0.91), make_line(accuracy=0.93, seed=1)]
        row = row_of(table.make_tables(lines), "EWC (10)")
        self.assertEqual(row[1:3], ["2", "92.00 % (1.41)"])
        self.assertEqual(row[5:8], ["1,000 (0)", "300.00 % (0.00)", "12 (0)"])
        self.assertEqual(row[-2], "92.01 % (WSN, ICML 2022)")
        self.assertEqual(row[-1], "reproduced (-0.01)")

    def test_honest_words(self):
        lines = [make_line(accuracy=0.95), make_line("replay", 0.9)]
        text = table.make_tables(lines)
        self.assertEqual(row_of(text, "EWC")[-1], "not reproduced (+2.99)")
        self.assertEqual(row_of(text, "joint")[-1], "not run here")
        self.assertEqual(
            row_of(text, "experience replay (10)")[-1], "nothing published"
        )

        shorter = make_line("wsn", 0.9614, settings={**PAPER, "epochs": 1})
        text = table.make_tables([*lines, shorter])
        self.assertIn("| not run as published |", text)
        self.assertEqual(text.count("| experience replay"), 1)
        # One table for each protocol, and what was not run at all.
        self.assertIn("10 tasks, 1 epoch, batches of 10", text)
        self.assertIn("10 tasks, 5 epochs, batches of 10", text)
        self.assertIn("TinyImageNet, 40 tasks", text)
        self.assertIn("Not run here.", text)

    def test_a_variant_is_there_where_it_was_run(self):
        self.assertNotIn("without pruning", table.make_tables([make_line()]))
        line = make_line("no_pruning", 0.9, strength=None, learned=4)
        title = row_of(table.make_tables([line]), "tsn_keras without pr")[0]
        self.assertEqual(
            title, "tsn_keras without pruning, room for 4 of 10 tasks"
        )

    def test_page_and_picture(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        page = folder / "page.md"
        page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
        table.put_into_page("new", page)
        self.assertEqual(
            page.read_text(),
            f"before\n{table.BEGIN}\n\nnew\n{table.END}\nafter\n",
        )
        page.write_text("nothing")
        with self.assertRaisesRegex(ValueError, "has no place for the tables"):
            table.put_into_page("new", page)
        self.assertEqual(page.read_text(), "nothing")
        (drawn,) = table.draw([make_line()], folder)
        self.assertIn("EWC", drawn.read_text())
