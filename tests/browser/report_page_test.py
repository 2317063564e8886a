"""What `report.html` looks like in Chromium: on phones and desktops."""

import pathlib
import tempfile

import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import random_record
from tests.browser.chromium import Browser
from tsn_keras.bank import Capacity, WeightBank
from tsn_keras.evaluation import (
    AccuracyMatrix,
    build_report,
    write_html_report,
)

HOSTILE = (
    "<script>document.title = 'mine'</script>",
    "</style><img src=http://localhost/a.png>",
    "$x_1$ and `b`",
    "\u202eright to left\u202c\n\x1b[31m",
    "no_space_anywhere_in_this_very_long_name_of_a_task_" * 3,
    "a' onmouseover='alert(1)\" & <b>",
)
TOO_WIDE = """
[...document.querySelectorAll('body *')].filter(
    e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth
).map(e => e.outerHTML.slice(0, 200))
"""


def make_bank(names, num_kernels):
    shapes = [(12, 10)] * num_kernels
    paths = [f"block_{i}/<i>dense</i>/kernel" for i in range(num_kernels)]
    bank = WeightBank(shapes, paths)
    width = 2 if len(names) > 10 else 3
    for number, name in enumerate(names):
        planes = 0 if number % 2 else number // 2 % 3
        density = 1.0 / (number % 5 + 3)
        bank.add(random_record(bank, name, planes, width, density, number))
    return bank


def make_report(names, bank, rows):
    random = np.random.default_rng(0)
    learned = 0.9 + 0.08 * random.random(len(names))
    matrix = AccuracyMatrix(names)
    for row in range(rows):
        for column in range(row + 1):
            matrix.record(row, column, learned[column])
    tasks = []
    for name in bank.tasks[:rows]:
        usage = bank.usage(name)
        tasks.append(
            {
                "name": name,
                "plane": 0,
                "sharing": f"own plane, as {name} is the first",
                "sparsity": {kernel.path: kernel.sparsity for kernel in usage},
                "bits": {kernel.path: kernel.width for kernel in usage},
                "own": {kernel.path: kernel.num_own for kernel in usage},
                "shared": {kernel.path: kernel.num_shared for kernel in usage},
                "monitor": "accuracy",
                "quality_before": 0.95,
                "quality_after": 0.945,
                "allowed_loss": 0.01,
                "loss": 0.005,
                "kept": True,
                "warnings": [f"Over-pruned: {name}"],
                "class_names": [name, "cat"],
            }
        )
    return build_report(
        tasks=tasks,
        matrix=matrix,
        capacity=Capacity(bank.count_bytes(), 60_000),
        bit_exact=rows == len(names),
        seconds=6000.0,
        config={"name": names[0], "units": [100, 100]},
        single=learned[: len(names)] if rows == len(names) else None,
    )


def many(count):
    return [f"task {number}" for number in range(count)]


# Names of tasks, kernels, and how many tasks were learned.
PAGES = {
    "usual": (many(6), 2, 6),
    "one_task": (["only"], 1, 1),
    "stopped": (many(8), 3, 3),
    "hostile_names": (HOSTILE, 2, len(HOSTILE)),
    "many_tasks_and_kernels": (many(60), 24, 60),
}


class ReportPageTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.folder = pathlib.Path(folder)
        cls.browser = cls.enterClassContext(Browser())

    def write(self, page):
        path = self.folder / f"{page}.html"
        if not path.exists():
            names, num_kernels, rows = PAGES[page]
            bank = make_bank(names, num_kernels)
            report = make_report(names, bank, rows)
            write_html_report(path, report, bank, names[0])
        return path

    def check(self, page, width, dark):
        self.browser.open(self.write(page), width, dark=dark)
        for opened in (False, True):
            if opened:
                self.browser.evaluate(
                    "document.querySelectorAll('details')"
                    ".forEach(d => d.open = true)"
                )
            self.assertEqual(self.browser.evaluate("innerWidth"), width)
            page_width = "document.documentElement.scrollWidth"
            self.assertEqual(self.browser.evaluate(page_width), width)
            self.assertEqual(self.browser.evaluate(TOO_WIDE), [])
        self.assertEqual(self.browser.requests, [])
        self.assertEqual(self.browser.messages, [])

    @parameterized.product(page=list(PAGES), width=[390, 1280])
    def test_nothing_is_cut_off_or_loaded(self, page, width):
        self.check(page, width, dark=False)

    def test_dark_and_light_differ(self):
        colours = []
        for dark in (False, True):
            self.check("usual", 390, dark)
            colours.append(
                self.browser.evaluate(
                    "getComputedStyle(document.body).backgroundColor"
                )
            )
            picture = self.folder / "picture.png"
            self.browser.screenshot(picture)
            self.assertGreater(picture.stat().st_size, 20_000)
        self.assertEqual(colours, ["rgb(246, 247, 249)", "rgb(17, 22, 28)"])

    def test_names_are_shown_as_they_are(self):
        self.browser.open(self.write("hostile_names"), 1280)
        title = self.browser.evaluate("document.title")
        self.assertEqual(title, HOSTILE[0])
        text = self.browser.evaluate("document.body.innerText")
        for name in (*HOSTILE[:3], *HOSTILE[4:]):
            self.assertIn(name, text)
        self.assertIn(r"\u202eright to left\u202c\n\x1b[31m", text)
        tags = "document.querySelectorAll('script, img, iframe, link[href]')"
        loads = f"[...{tags}].map(e => e.outerHTML)"
        self.assertEqual(
            self.browser.evaluate(loads), ['<link rel="icon" href="data:,">']
        )

    def test_a_phone_shows_how_tables_go_on(self):
        self.browser.open(self.write("usual"), 390)
        wide = self.browser.evaluate(
            "[...document.querySelectorAll('.scroll')].filter("
            "e => e.scrollWidth > e.clientWidth).map("
            "e => e.querySelector('td').offsetWidth / e.clientWidth)"
        )
        self.assertNotEmpty(wide)
        self.assertLess(max(wide), 0.6)
