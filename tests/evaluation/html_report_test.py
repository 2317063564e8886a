import html.parser
import json
import pathlib
import tempfile
import types

import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import random_bank
from tsn_keras.evaluation import (
    AccuracyMatrix,
    build_report,
    write_html_report,
)

EMPTY = {"meta", "link", "path", "br", "img"}


class Reader(html.parser.HTMLParser):
    """Reads a page, and refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.text, self.tags = [], [], "", []
        self.feed(text)
        self.close()
        if self.open:
            raise ValueError(f"left open: {self.open}")

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY and self.open.pop() != tag:
            raise ValueError(f"</{tag}> after {self.open}")

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data + " "


def make_report(names=("task 0", "task 1"), rows=None, **changes):
    matrix = AccuracyMatrix(list(names))
    for row in range(len(names) if rows is None else rows):
        for column in range(row + 1):
            matrix.record(row, column, 0.9 + 0.01 * column)
    task = {
        "plane": 0,
        "sharing": "own plane: the first",
        "sparsity": {"a/kernel": 0.9, "b/kernel": 0.8},
        "bits": {"a/kernel": 3, "b/kernel": 2},
        "own": {"a/kernel": 1234, "b/kernel": 10},
        "shared": {"a/kernel": 5, "b/kernel": 0},
        "monitor": "accuracy",
        "quality_before": 0.91,
        "quality_after": 0.905,
        "allowed_loss": 0.01,
        "loss": 0.005,
        "kept": True,
        "warnings": [],
    }
    parts = {
        "tasks": [{"name": n, **task} for n in names[:rows]],
        "matrix": matrix,
        "capacity": types.SimpleNamespace(
            bytes={"codes": 300, "masks": 200},
            total_bytes=500,
            dense_bytes=1000,
            fraction=0.5,
        ),
        "bit_exact": True,
        "seconds": 12.0,
        "config": {"epochs": 5, "widths": [2, 4]},
    }
    return build_report(**{**parts, **changes})


class HtmlReportTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(folder) / "report.html"

    def read(self, *args, **kwargs):
        write_html_report(self.path, *args, **kwargs)
        return Reader(self.path.read_text(encoding="utf-8"))

    def test_sections(self):
        bank = random_bank(2)
        page = self.read(make_report(single=[0.9, 0.9]), bank, title="a run")
        self.assertEqual(
            page.headings,
            [
                "Accuracy over time",
                "Accuracy on each task after each task",
                "Tasks",
                "Who owns which bits",
                "How far masks overlap",
                "Where the bytes go",
                "Settings",
            ],
        )
        for text in (
            *("a run", "90.50 %", "50.0 %", "500 of 1,000 bytes"),
            *("bit-exact", "+1.00", "12.0 s", "1,244", "80.0% to 90.0%"),
            *("dense/kernel", "[2, 4]", "tensorflow", "own plane: the first"),
        ):
            self.assertIn(text, page.text)

    def test_without_a_bank(self):
        page = self.read(make_report())
        self.assertNotIn("Who owns which bits", page.headings)
        self.assertIn("Where the bytes go", page.headings)

    def test_from_a_file(self):
        report = make_report()
        self.read(report)
        written = self.path.read_bytes()
        self.read(json.loads(json.dumps(report)))
        self.assertEqual(self.path.read_bytes(), written)

    def test_changed_bits_are_said(self):
        page = self.read(make_report(bit_exact=False))
        self.assertIn("NOT bit-exact", page.text)

    @parameterized.parameters(0, 1)
    def test_a_run_that_was_stopped(self, rows):
        page = self.read(make_report(("a", "b", "c"), rows))
        self.assertIn("unknown", page.text)

    def test_a_loss_is_no_percentage(self):
        report = make_report()
        for task in report["tasks"]:
            task["monitor"] = "loss"
        page = self.read(report)
        self.assertIn("0.9050", page.text)
        self.assertNotIn("90.50 %", page.text)

    def test_many_tasks(self):
        names = [f"task {n}" for n in range(100)]
        page = self.read(make_report(names))
        self.assertLess(self.path.stat().st_size, 500_000)
        self.assertEqual(page.text.count("task 57 "), 5)

    def test_class_names_and_warnings(self):
        report = make_report()
        report["tasks"][0]["class_names"] = ["cat", "<dog>"]
        report["tasks"][1]["class_names"] = None
        report["tasks"][1]["warnings"] = ["Over-pruned: `sparsity`"]
        page = self.read(report)
        self.assertIn("cat, <dog>", page.text)
        self.assertIn("Over-pruned: `sparsity`", page.text)

    @parameterized.parameters(
        "<script>alert(1)</script>",
        "</style></title><script src=http://localhost/x.js></script>",
        "' onload='alert(1)\" x=\"",
        "half \udc80 a pair",
        "$\\frac$",
    )
    def test_names_are_data(self, name):
        report = make_report((name, "b"), extra={name: name})
        report["config"][name] = name
        report["tasks"][0]["warnings"] = [name]
        page = self.read(report, title=name)
        kinds = {tag for tag, _ in page.tags}
        self.assertNoCommonElements(kinds, {"script", "img", "iframe"})
        attributes = {key for _, attrs in page.tags for key in attrs}
        self.assertEqual([a for a in attributes if a.startswith("on")], [])
        shown = name.replace("\udc80", r"\udc80")
        self.assertGreater(page.text.count(shown), 5)

    def test_nothing_is_loaded(self):
        page = self.read(make_report(), random_bank(2))
        links = [
            (tag, key, value)
            for tag, attrs in page.tags
            for key, value in attrs.items()
            if key in ("src", "href", "srcset", "action", "data")
        ]
        self.assertEqual(links, [("link", "href", "data:,")])
        text = self.path.read_text()
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)
        self.assertIn(
            "default-src &#x27;none&#x27;", text.replace("'", "&#x27;")
        )

    def test_values_without_a_form(self):
        # As an older version, or a user, may have written them.
        report = make_report()
        report["tasks"] = [{"name": "a"}, {}]
        report["versions"] = {}
        report["accuracy_matrix"] = np.eye(2).tolist()
        self.read(report)
