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


@pytest.mark.parametrize("marker", ["install-command", "test-command"])
def test_command_is_one_line_and_starts_from_nothing(marker):
    command = readme_command(marker)
    assert "\n" not in command
    assert command.startswith(FRESH)


def test_quickstart_is_one_line_and_needs_what_was_installed():
    command = readme_command("quickstart-command")
    assert "\n" not in command
    assert command.startswith(".venv/bin/python -m examples.quickstart ")
    assert '".[examples]"' in readme_command("install-command")


@pytest.mark.parametrize("marker", ["install-command", "test-command"])
def test_command_names_extras_that_exist(marker):
    (extra,) = re.findall(r'"\.\[(\w+)\]"', readme_command(marker))
    assert extra in extras()


def example_commands():
    """Modules and flags of all commands of examples in README and docs."""
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pattern = r"python\s+-m\s+examples\.(\w+)((?:\s+--\w+(?:=[^\s`]+)?)*)"
    commands = set()
    for path in texts:
        found = re.findall(pattern, path.read_text(encoding="utf-8"))
        for module, flags in found:
            flags = re.findall(r"--(\w+)", flags)
            commands.add((path.name, module, *flags))
    return sorted(commands)


def sources_of(module):
    """Source of an example and of what it imports of the others."""
    path = ROOT / "examples" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    for other in re.findall(r"^from examples import (\w+)$", text, re.M):
        text += sources_of(other)
    if "from examples.benchmarks" in text:
        for path in sorted((ROOT / "examples" / "benchmarks").glob("*.py")):
            text += path.read_text(encoding="utf-8")
    return text


@pytest.mark.parametrize("command", example_commands(), ids=" ".join)
def test_examples_that_are_named_exist_with_their_flags(command):
    _, module, *flags = command
    sources = sources_of(module)
    for flag in flags:
        defined = rf'(flags\.DEFINE_\w+|define_choices)\(\s*"{flag}"'
        assert re.search(defined, sources), flag


def test_commands_are_found_in_readme_and_docs():
    modules = {command[1] for command in example_commands()}
    assert {"quickstart", "permuted_mnist", "split_cifar100"} <= modules


def test_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 100
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    assert len([line for line in code.splitlines() if line]) <= 12


def test_files_that_are_linked_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r"\]\(([^)#]+)", text)
    paths += re.findall(r'(?:src|srcset|href)="([^"#]+)', text)
    relative = [path for path in paths if not re.match(r"[a-z]+:", path)]
    assert relative
    for path in relative:
        assert (ROOT / path).exists(), path


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
