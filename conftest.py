"""What the examples in docstrings may use without importing it."""

import keras
import numpy as np
import pytest

import tsn_keras


@pytest.fixture(autouse=True)
def names_of_examples(doctest_namespace):
    doctest_namespace.update(keras=keras, np=np, tsn_keras=tsn_keras)
