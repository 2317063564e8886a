import xml.etree.ElementTree

import numpy as np
from absl.testing import parameterized

from tsn_keras.evaluation import svg


def parse(text):
    return xml.etree.ElementTree.fromstring(text)


class SvgTest(parameterized.TestCase):
    def test_colours_differ(self):
        colours = [svg.task_colour(number) for number in range(100)]
        self.assertLen(set(colours), 100)
        for colour in colours:
            self.assertRegex(colour, "^#[0-9a-f]{6}$")

    def test_lines(self):
        text = svg.lines([[(0, 0.5), (1, 0.5)], [(1, 1)], []], "a<b", [0], "x")
        paths = [path.get("d") for path in parse(text).iter("path")]
        self.assertIn("M0.00 50.00L100.00 50.00", paths)
        self.assertIn("M100.00 0.00h0", paths)
        self.assertLen(paths, 5)

    def test_heat_map(self):
        values = np.array([[0.0, np.nan], [1.0, 0.01]])
        paths = list(parse(svg.heat_map(values, "x")).iter("path"))
        places = {path.get("d"): float(path.get("opacity")) for path in paths}
        self.assertLess(places["M0 0h1v1h-1zM1 1h1v1h-1z"], 0.1)
        self.assertEqual(places["M0 1h1v1h-1z"], 1.0)

    def test_slots(self):
        slots = [((0, 4), (1, 2)), ((0, 4), (1, 2)), ((1, 2),), ()]
        text = svg.slot_columns(slots, "who's <who>")
        drawing = parse(text)
        self.assertEqual(drawing.get("viewBox"), "0 0 4 32")
        self.assertEqual(drawing.get("aria-label"), "who's <who>")
        paths = {p.get("fill"): p.get("d") for p in drawing.iter("path")}
        self.assertEqual(
            paths,
            {
                svg.task_colour(0): "M0 28h2v4h-2z",
                svg.task_colour(1): "M0 26h2v2h-2zM2 30h1v2h-1z",
            },
        )

    def test_nothing(self):
        parse(svg.slot_columns([], "x"))
        parse(svg.lines([], [], [], "x"))

    @parameterized.parameters((0.0, 1.0), (0.97, 0.981), (12.0, 950.0), (5, 5))
    def test_ticks(self, low, high):
        found = svg.ticks(low, high)
        self.assertBetween(len(found), 1, 7)
        self.assertGreaterEqual(found[0], low - 1e-6)
        self.assertLessEqual(found[-1], high + 1e-6)
