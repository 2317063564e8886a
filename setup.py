"""Packaging of tsn_keras."""

import pathlib
import re
import runpy

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent
VERSION = runpy.run_path(str(ROOT / "tsn_keras" / "version.py"))["__version__"]

# Where the repository can be read, for example "https://github.com/OWNER/NAME".
# Its owner sets it; links within it are plain text in the packages until then.
REPOSITORY_URL = ""

# The lowest versions were tried: docs/versions.md, `tools/lowest_versions.py`.
REQUIRED = [
    "absl-py>=1.4",
    "constriction>=0.4",
    "h5py>=3.11",
    # TFDS 4.9.10 prepares a download only with importlib_resources installed,
    # and does not declare it.
    "importlib_resources>=6.0",
    # Earlier versions cannot load the vocabularies that they wrote.
    "keras>=3.14,<4",
    "numpy>=1.26",
    # Patterns in files of others: its searches end in time.
    "regex>=2023.12.25",
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9.7",
    # 0.8.0 needs tf_keras and does not declare it: the first schedule fails.
    "tensorflow-model-optimization>=0.8.1",
]
PLOTS = ["matplotlib>=3.8"]
TABLES = ["pandas>=2.1"]
LITE = ["ai-edge-litert>=2.1", "flatbuffers>=24.3.25"]
# Only runs files for microcontrollers, and measures their memory.
MICRO = LITE + ["tflite_micro>=0.dev20261023182759"]
EXAMPLES = PLOTS + LITE + ["scikit-learn"]
# kmeans1d is the reference that our clustering is tested against.
TEST = EXAMPLES + TABLES + [
    "hypothesis>=6.100",
    "kmeans1d>=0.5",
    "pytest>=8.2",
    "pytest-xdist",
    "ruff",
    "scipy",
]
# The site of docs/, and the packages.
DOCS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"]
RELEASE = ["build", "twine"]

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
TAG = re.compile(r'(?P<before>\b(?:src|srcset|href)=")(?P<path>[^"]+)')


def for_packages(readme: str, url: str) -> str:
    """Returns a README whose links do not need the files beside it.

    Args:
        readme: Markdown with links to files of the repository.
        url: Where the repository can be read. Where it is empty links become
            plain text, and pictures are left out.
    """

    def absolute(path, image):
        return f"{url.rstrip('/')}/{'raw' if image else 'blob'}/HEAD/{path}"

    def link(found):
        image, text, path = found.group("image", "text", "path")
        if re.match(r"[a-z]+:|#", path):
            return found.group()
        if not url:
            return "" if image else text
        return f"{image}[{text}]({absolute(path, image)})"

    def tag(found):
        before, path = found.group("before", "path")
        if re.match(r"[a-z]+:|#", path):
            return found.group()
        return before + absolute(path, not before.startswith("href"))

    def convert(text):
        if url:
            text = TAG.sub(tag, text)
        else:
            text = re.sub(r"</?(img|source|picture|p)\b[^>]*>", "", text)
        return LINK.sub(link, text)

    parts = FENCE.split(readme)
    parts[::2] = map(convert, parts[::2])
    return "".join(parts)


# Tests look at what is defined above.
if __name__ == "__main__":
    setuptools.setup(
        name="tsn_keras",
        version=VERSION,
        description="TinySubNets continual learning for Keras 3 on TensorFlow",
        long_description=for_packages(
            (ROOT / "README.md").read_text(encoding="utf-8"), REPOSITORY_URL
        ),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        **({"url": REPOSITORY_URL} if REPOSITORY_URL else {}),
        packages=setuptools.find_packages(include=["tsn_keras", "tsn_keras.*"]),
        package_data={"tsn_keras": ["py.typed"]},
        python_requires=">=3.11",
        install_requires=REQUIRED,
        extras_require={
            "plots": PLOTS,
            "tables": TABLES,
            "lite": LITE,
            "micro": MICRO,
            "examples": EXAMPLES,
            "test": TEST,
            "docs": DOCS,
            "release": RELEASE,
        },
        keywords=[
            "continual learning",
            "keras",
            "pruning",
            "quantization",
            "tensorflow",
        ],
        classifiers=[
            "Development Status :: 3 - Alpha",
            "Intended Audience :: Developers",
            "Intended Audience :: Science/Research",
            "Programming Language :: Python :: 3",
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.13",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
            "Typing :: Typed",
        ],
    )
