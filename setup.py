"""Packaging of tsn_keras."""

import pathlib
import runpy

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent
VERSION = runpy.run_path(str(ROOT / "tsn_keras" / "version.py"))["__version__"]

REQUIRED = [
    "absl-py",
    "constriction>=0.4",
    "h5py",
    # TFDS 4.9.10 prepares a download only with importlib_resources installed,
    # and does not declare it.
    "importlib_resources",
    # Exports to LiteRT came with 3.13.
    "keras>=3.13,<4",
    "numpy",
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9.7",
    "tensorflow-model-optimization>=0.8",
]
PLOTS = ["matplotlib"]
TABLES = ["pandas"]
LITE = ["ai-edge-litert", "flatbuffers"]
EXAMPLES = PLOTS + LITE + ["scikit-learn"]
# kmeans1d is the reference that our clustering is tested against.
TEST = EXAMPLES + TABLES + [
    "kmeans1d>=0.5",
    "pytest>=8.2",
    "pytest-xdist",
    "ruff",
    "scipy",
]

setuptools.setup(
    name="tsn_keras",
    version=VERSION,
    description="TinySubNets continual learning for Keras 3 on TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=setuptools.find_packages(include=["tsn_keras", "tsn_keras.*"]),
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require={
        "plots": PLOTS,
        "tables": TABLES,
        "lite": LITE,
        "examples": EXAMPLES,
        "test": TEST,
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
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
