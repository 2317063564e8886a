"""The site builds without a warning, and has all public names and pages."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import zlib

import pytest

from tests.public_names_test import ROOMS, public_names
from tools import guides

ROOT = pathlib.Path(__file__).resolve().parent.parent
MISSING = [
    name
    for name in ("material", "mkdocs", "mkdocstrings")
    if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"needs the extra docs, for {MISSING}"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as strictly as can be."""
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    output = finished.stdout + finished.stderr
    assert finished.returncode == 0, output
    assert "WARNING" not in output, output
    return folder


def test_every_public_name_is_in_the_reference(site):
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split()[0] for line in zlib.decompress(content).splitlines()}
    known = set(map(bytes.decode, known))
    missing = [
        name
        for room in ("", *ROOMS)
        for name, _ in public_names(room)
        # A function of the name of its own file is described as there.
        if not known & {name, f"{name}.{name.rpartition('.')[2]}"}
    ]
    assert missing == []


@pytest.mark.parametrize("guide", guides.all_guides(), ids=lambda g: g.name)
def test_guide_is_a_page_a_notebook_and_in_the_list(site, guide):
    page = site / "guides" / guide.name / "index.html"
    assert guide.title in page.read_text(encoding="utf-8")
    notebook = site / "guides" / f"{guide.name}.ipynb"
    assert notebook.read_text(encoding="utf-8") == guide.notebook()
    index = (site / "guides" / "index.html").read_text(encoding="utf-8")
    assert f">{guide.title}</a>" in index


def test_every_page_is_in_the_navigation(site):
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in text


def test_the_site_loads_nothing_from_elsewhere(site):
    pattern = r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="http'
    for page in site.rglob("*.html"):
        assert not re.search(pattern, page.read_text(encoding="utf-8")), page
