"""README.md gives the commands that work, and .ci/run runs what it gives."""

import ast
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FRESH = "python3 -m venv .venv && "


def marked_blocks(text, marker):
    """Contents of the fenced blocks below a marker."""
    pattern = rf"^<!-- {marker} -->\n```bash\n(.*?)^```$"
    return re.findall(pattern, text, re.MULTILINE | re.DOTALL)


def readme_command(marker):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = marked_blocks(text, marker)
    return block.removesuffix("\n")


def extras():
    """Names of the extras in setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "extras_require"
    )
    return {key.value for key in value.keys}


@pytest.mark.parametrize("marker", ["quickstart-command", "test-command"])
def test_command_is_one_line_and_starts_from_nothing(marker):
    command = readme_command(marker)
    assert "\n" not in command
    assert command.startswith(FRESH)


@pytest.mark.parametrize("marker", ["quickstart-command", "test-command"])
def test_command_names_extras_that_exist(marker):
    (extra,) = re.findall(r'"\.\[(\w+)\]"', readme_command(marker))
    assert extra in extras()


def test_quickstart_names_a_module_that_exists():
    (module,) = re.findall(
        r"\.venv/bin/python -m ([\w.]+)", readme_command("quickstart-command")
    )
    assert (ROOT / (module.replace(".", "/") + ".py")).exists()


def test_quickstart_gives_flags_that_exist():
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "examples").glob("*.py")
    )
    for flag in re.findall(r"--(\w+)", readme_command("quickstart-command")):
        assert re.search(rf'flags\.DEFINE_\w+\(\s*"{flag}"', sources)


def test_test_command_runs_pytest_on_the_whole():
    command = readme_command("test-command")
    assert re.search(r"\.venv/bin/python -m pytest -q -n auto$", command)


@pytest.fixture
def checkout(tmp_path):
    """A function that makes a checkout of a README and .ci/run, and runs it."""

    def run(test_command, ruff="exit 0"):
        ruff = f"printf '#!/bin/bash\\n{ruff}\\n' > .venv/bin/ruff"
        command = f"mkdir -p .venv/bin && {ruff} && chmod +x .venv/bin/ruff"
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
        (tmp_path / "README.md").write_text(
            "# Title\n\n```bash\nexit 3\n```\n\n<!-- test-command -->\n"
            f"```bash\n{command} && {test_command}\n```\n\n"
            "```bash\nexit 4\n```\n",
            encoding="utf-8",
        )
        return subprocess.run(
            [tmp_path / ".ci" / "run"],
            cwd="/",
            capture_output=True,
            text=True,
        )

    return run


def test_ci_runs_the_command_of_the_readme(checkout, tmp_path):
    result = checkout("touch litter && echo '3 passed in 0.10s'")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "ci: 3 passed in 0.10s"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".ci", "README.md"]


def test_ci_fails_with_the_tests(checkout):
    result = checkout("echo '1 failed, 2 passed in 0.10s' && exit 1")
    assert result.returncode == 1
    assert "tests FAILED" in result.stdout
    assert "ruff passed" in result.stdout


def test_ci_fails_with_ruff(checkout):
    result = checkout("echo '3 passed in 0.10s'", ruff="exit 1")
    assert result.returncode == 1
    assert "ruff FAILED" in result.stdout


def test_ci_fails_without_a_single_command(checkout):
    result = checkout("echo one\necho two")
    assert result.returncode == 1
    assert "single-line test command" in result.stderr
