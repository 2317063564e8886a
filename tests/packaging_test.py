"""What setup.py puts into the packages, and what it claims."""

import pathlib
import re
import runpy
import subprocess
import sys
import zipfile

import pytest

from tools import lowest_versions

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
README = """\
# Title

![A picture](docs/a.svg) and [a page](docs/b.md#part), [elsewhere](https://a.b)
and [here](#title).

<img src="docs/c.png" width="3">

```python
tasks[0](docs)
```
"""


def test_links_of_the_readme_become_absolute():
    text = SETUP["for_packages"](README, "https://a.b/me/it")
    assert "![A picture](https://a.b/me/it/raw/HEAD/docs/a.svg)" in text
    assert "[a page](https://a.b/me/it/blob/HEAD/docs/b.md#part)" in text
    assert 'src="https://a.b/me/it/raw/HEAD/docs/c.png"' in text
    assert "[elsewhere](https://a.b)" in text
    assert "[here](#title)" in text
    assert "tasks[0](docs)" in text


def test_links_of_the_readme_become_text_without_a_repository():
    text = SETUP["for_packages"](README, "")
    assert " and a page, [elsewhere](https://a.b)\nand [here](#title)." in text
    assert "A picture" not in text
    assert "<img" not in text
    assert "tasks[0](docs)" in text


@pytest.mark.parametrize("url", ["", "https://a.b/me/it"])
def test_no_relative_link_of_the_readme_is_left(url):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = SETUP["for_packages"](readme, url)
    found = re.findall(r"\]\(([^)]+)\)", text)
    found += re.findall(r'(?:src|srcset|href)="([^"]+)', text)
    for path in found:
        assert re.match(r"https?:|#", path), path


def test_every_requirement_has_a_lowest_version_that_the_docs_name():
    required = SETUP["REQUIRED"] + SETUP["PLOTS"] + SETUP["LITE"]
    versions = lowest_versions.lowest(required)
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    for name, version in versions.items():
        assert f"| {name} | {version} |" in page
    with pytest.raises(ValueError, match="no lowest version of 'numpy'"):
        lowest_versions.lowest(["numpy"])


def test_classifiers_are_the_pythons_that_the_docs_say_were_tried():
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    claimed = re.findall(r":: Python :: (3\.\d+)", text)
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    tried = re.findall(r"^\| (3\.\d+)[\d.]* \| [^n]", page, re.M)
    assert claimed == tried


def test_packages_are_complete_and_pass_twine(tmp_path):
    pytest.importorskip("build")
    pytest.importorskip("twine")
    checkout = tmp_path / "checkout"
    tree = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others"]
        + ["--exclude-standard", "setup.py", "README.md", "LICENSE"]
        + ["pyproject.toml", "tsn_keras"],
        capture_output=True,
        text=True,
    )
    files = [name for name in tree.stdout.split("\0") if name]
    if tree.returncode:  # An archive of a commit has no `.git`.
        files = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "tsn_keras").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ] + ["setup.py", "README.md", "LICENSE", "pyproject.toml"]
    for name in files:
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    run = [sys.executable, "-m"]
    made = subprocess.run(
        [*run, "build", "--outdir", tmp_path / "dist", checkout],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    packages = sorted((tmp_path / "dist").iterdir())
    assert [path.suffix for path in packages] == [".whl", ".gz"]
    checked = subprocess.run(
        [*run, "twine", "check", "--strict", *packages],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with zipfile.ZipFile(packages[0]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (n for n in names if n.endswith("/METADATA"))
        text = wheel.read(metadata).decode()
    sources = {name for name in files if name.startswith("tsn_keras/")}
    sources = {name for name in sources if not name.endswith("BUILD")}
    assert sources <= names
    assert "](docs/" not in text
