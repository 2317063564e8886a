"""The examples of the reference run, and every public name has one."""

import pathlib
import re

import pytest

from tests.public_names_test import ROOMS, public_names

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def page(room):
    name = room or "continual_model"
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ROOMS)
def test_examples_of_the_page_run(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pattern = r"^<!-- runs -->\n```python\n(.*?)^```$"
    names = {}
    for block in re.findall(pattern, page(room), re.MULTILINE | re.DOTALL):
        exec(block, names)


@pytest.mark.parametrize("room", ("", *ROOMS))
def test_every_name_has_an_example(room):
    text = page(room).partition(f"::: tsn_keras.{room}\n")[0]
    missing = [
        full_name
        for full_name, value in public_names(room)
        if not re.search(r">>> |```python", value.__doc__ or "")
        and not re.search(rf"\b{full_name.rpartition('.')[2]}\b", text)
        and not hasattr(value, "wrapped_class")
    ]
    assert missing == []
