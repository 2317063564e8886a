"""Tries the lowest versions that setup.py claims, in an environment of its own.

    python -m tools.lowest_versions --folder=/tmp/lowest

Each requirement `name>=version` becomes `name==version`. Then those tests run
that go through a user's first hour, with the guides. The versions are printed
as the table of docs/versions.md.
"""

import pathlib
import runpy
import subprocess
import sys
import venv

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = flags.FLAGS
flags.DEFINE_string("folder", "/tmp/lowest", "Where the environment is made.")
flags.DEFINE_list(
    "tests",
    [
        "tests/continual_model_test.py",
        "tests/import_test.py",
        "tests/saving/seal_test.py",
        "tests/tfmot_test.py",
        "tests/lite/task_file_test.py",
        "tests/lite/bundle_test.py",
        "tests/guides_test.py",
    ],
    "What runs there.",
)
# What the tests need, in any version.
BESIDE = ["kmeans1d", "pytest", "pytest-xdist", "scikit-learn"]


def lowest(requirements: list[str]) -> dict[str, str]:
    """Returns the lowest version that is claimed of each package."""
    found = {}
    for requirement in requirements:
        name, claims, version = requirement.partition(">=")
        if not claims:
            raise ValueError(
                f"setup.py claims no lowest version of '{requirement}'"
            )
        found[name] = version.partition(",")[0]
    return found


def main(_) -> None:
    setup = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
    parts = "REQUIRED", "PLOTS", "TABLES", "LITE"
    versions = lowest(sum((setup[part] for part in parts), []))
    folder = pathlib.Path(FLAGS.folder)
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pins = [f"{name}=={version}" for name, version in versions.items()]
    command = [python, "-m", "pip", "install", "-q", *pins, *BESIDE]
    subprocess.run(command, check=True)
    print("| package | lowest version |\n| --- | --- |")
    print(f"| Python | {sys.version.split()[0]} |")
    for name, version in versions.items():
        print(f"| {name} | {version} |", flush=True)
    options = ["-q", "-p", "no:cacheprovider", "-n", "2"]
    tests = [python, "-m", "pytest", *options, *FLAGS.tests]
    sys.exit(subprocess.run(tests, cwd=ROOT).returncode)


if __name__ == "__main__":
    app.run(main)
