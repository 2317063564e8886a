import builtins
import csv
import io
import pathlib
import tempfile
from unittest import mock

import numpy as np
import pandas
from absl.testing import parameterized

from tsn_keras.tables import Column, Table, printable, shortened

NAMES = (
    'a,"b"',
    "=1+1",
    "two\nlines\r\n",
    "<script>alert(1)</script>",
    "猫",
    "\x1b[31mred",
    "",
)


def make_table(names=NAMES, **settings):
    columns = [Column("name"), Column("size", ",d"), Column("part", ".1%")]
    rows = [
        (name, np.int64(1000 * n), None if n == 1 else np.float32(n / 8))
        for n, name in enumerate(names)
    ]
    return Table(columns, rows, **settings)


class TableTest(parameterized.TestCase):
    def test_text_is_aligned(self):
        text = str(make_table(["a", "bcd", "猫"], title="T", notes=["n"]))
        self.assertEqual(
            text.splitlines(),
            [
                "T",
                "name   size   part",
                "a         0   0.0%",
                "bcd   1,000",
                "猫    2,000  25.0%",
                "n",
            ],
        )

    def test_text_has_one_line_for_each_row(self):
        lines = str(make_table()).splitlines()
        self.assertLen(lines, len(NAMES) + 1)
        self.assertNotIn("\x1b", "".join(lines))

    def test_csv_is_read_as_it_was(self):
        table = make_table()
        text = table.to_csv()
        read = list(csv.reader(io.StringIO(text, newline="")))
        self.assertEqual(read[0], ["name", "size", "part"])
        self.assertEqual([row[0] for row in read[1:]], list(NAMES))
        self.assertEqual([row[1] for row in read[1:4]], ["0", "1000", "2000"])
        self.assertEqual([row[2] for row in read[1:4]], ["0.0", "", "0.25"])
        frame = pandas.read_csv(io.StringIO(text), keep_default_na=False)
        self.assertEqual(list(frame["size"]), list(range(0, 7000, 1000)))

    def test_csv_file(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        table = make_table([*NAMES, "half \udc80 a pair"])
        self.assertIsNone(table.to_csv(folder / "t.csv"))
        data = (folder / "t.csv").read_bytes()
        expected = table.to_csv().encode("utf-8", "backslashreplace")
        self.assertEqual(data, expected)
        with self.assertRaisesRegex(TypeError, "`path`.*3"):
            table.to_csv(3)

    def test_html_shows_texts_as_they_are(self):
        html = make_table(title="a < b", notes=["<i>"]).to_html()
        self.assertNotIn("<script>", html)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", html)
        self.assertIn("<caption>a &lt; b</caption>", html)
        self.assertIn("<p>&lt;i&gt;</p>", html)
        self.assertEqual(html.count("<tr>"), len(NAMES) + 1)

    def test_style_of_cells(self):
        def style(value):
            return 'color:"red"' if isinstance(value, str) else ""

        html = make_table(["a"]).to_html(style)
        self.assertEqual(html.count("color:&quot;red&quot;"), 1)

    def test_data_frame(self):
        frame = make_table().to_dataframe()
        self.assertEqual(list(frame.columns), ["name", "size", "part"])
        self.assertEqual(list(frame["name"]), list(NAMES))
        self.assertTrue(np.isnan(frame["part"][1]))
        self.assertEqual(frame["size"].dtype, np.int64)

    def test_without_pandas(self):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name == "pandas":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        with mock.patch.object(builtins, "__import__", without):
            with self.assertRaisesRegex(ImportError, "pip install pandas"):
                make_table().to_dataframe()

    def test_long_tables_are_cut_in_the_middle(self):
        table = make_table([f"row {n}" for n in range(1000)])
        lines = str(table).splitlines()
        self.assertLen(lines, 62)
        self.assertStartsWith(lines[31], "…")
        self.assertStartsWith(lines[-1], "row 999")
        self.assertEqual(table.to_html().count("<tr>"), 62)
        self.assertLen(table.to_csv().splitlines(), 1001)
        self.assertLen(table.to_dataframe(), 1000)

    def test_labelled(self):
        table = make_table(["a", "b"]).labelled(task="t")
        self.assertStartsWith(table.to_csv(), '"task","name","size","part"\n')
        self.assertEqual([row[0] for row in table.rows], ["t", "t"])

    def test_empty(self):
        self.assertEqual(str(Table([], [])), "")
        self.assertEqual(str(Table([Column("a")], [])), "a")
        self.assertEqual(Table([Column("a")], []).to_csv(), '"a"\n')

    @parameterized.parameters(
        ("plain", "plain"),
        ("a\nb", r"a\nb"),
        ("\u202eabc", r"\u202eabc"),
        ("\udc80", r"\udc80"),
        ("ä 猫 🐈", "ä 猫 🐈"),
    )
    def test_printable(self, text, expected):
        self.assertEqual(printable(text), expected)

    @parameterized.parameters(
        ("1234567", "1234567"), ("12345678", "123456…"), ("猫猫猫猫", "猫猫猫…")
    )
    def test_shortened(self, text, expected):
        self.assertEqual(shortened(text, 7), expected)
