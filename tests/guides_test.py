"""Every guide runs, at a small size, and reads as a page and a notebook."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tools import guides

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the tests put in the place of a guide's constants.
SMALL = {"EPOCHS": 1, "REQUESTS": 4, "TOLERANCES": (0.1,)}
GUIDES = guides.all_guides()


@pytest.fixture(params=GUIDES, ids=lambda guide: guide.name)
def guide(request):
    return request.param


def test_guide_runs(guide, tmp_path):
    source = (guides.FOLDER / f"{guide.name}.py").read_text(encoding="utf-8")
    program = tmp_path / f"{guide.name}.py"
    program.write_text(guides.with_constants(source, SMALL), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    finished = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


def test_guide_begins_with_a_title_and_says_what_it_is_about(guide):
    assert guide.title and len(guide.title) < 60
    assert 1 <= len(guide.lead.splitlines()) <= 3
    assert any(cell.kind == "code" for cell in guide.cells)


def test_page_and_notebook_have_all_of_a_guide(guide):
    source = (guides.FOLDER / f"{guide.name}.py").read_text(encoding="utf-8")
    page, notebook = guide.page(), json.loads(guide.notebook())
    assert page.startswith(f"# {guide.title}\n")
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    words = set(re.findall(r"\w{4,}", source))
    assert words <= set(re.findall(r"\w+", page))
    assert words <= set(re.findall(r"\w+", "\n".join(cells)))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")


def test_constants_are_replaced():
    source = "EPOCHS = 20\nfit(epochs=EPOCHS)\nMY_EPOCHS = 3\n"
    assert guides.with_constants(source, {"EPOCHS": 1, "OTHER": 2}) == (
        "EPOCHS = 1\nfit(epochs=EPOCHS)\nMY_EPOCHS = 3\n"
    )


def test_what_does_not_begin_with_a_docstring_is_no_guide(tmp_path):
    (tmp_path / "guide.py").write_text("import keras\n")
    with pytest.raises(ValueError, match="does not begin with a docstring"):
        guides.all_guides(tmp_path)
