"""What all tests need: names for the examples in docstrings, less waiting."""

import gc
import os
import pathlib

import keras
import numpy as np
import pytest

import tsn_keras

# Tracing makes many objects, few of them garbage: looking for it as often as
# usual takes time and finds little.
gc.set_threshold(50_000, 20, 20)

# Several processes share the cores: more threads in each, and in the processes
# that tests start, would only be in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

ROOT = pathlib.Path(__file__).resolve().parent
# What the second part of .ci/run runs. It takes minutes, whole runs of the
# examples, a browser, and other environments; `pytest` alone leaves it out,
# `pytest PATH` does not.
SECOND_PART = {
    *(ROOT / "tests" / folder for folder in ("browser", "device", "examples")),
    *(
        ROOT / "tests" / f"{name}_test.py"
        for name in ("guides", "packaging", "reference", "site")
    ),
}


def pytest_configure(config):
    # The processes of xdist are not told where the paths come from.
    if config.args_source is config.ArgsSource.TESTPATHS:
        os.environ["TSN_FIRST_PART"] = "1"


def pytest_ignore_collect(collection_path):
    if "TSN_FIRST_PART" in os.environ and collection_path in SECOND_PART:
        return True
    return None


@pytest.fixture(autouse=True)
def names_of_examples(doctest_namespace):
    doctest_namespace.update(keras=keras, np=np, tsn_keras=tsn_keras)


@pytest.fixture(autouse=True)
def seed():
    """Has every test begin alike, whichever ran before it in its process.

    A model's `seed` says nothing of the backbone that it is given, whose first
    values Keras draws.
    """
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module", autouse=True)
def leftovers():
    """Has the garbage collector pass over what a file's tests leave behind.

    TensorFlow keeps the graphs of models that are gone.
    """
    yield
    gc.collect()
    gc.freeze()
