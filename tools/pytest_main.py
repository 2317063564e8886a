"""Runs the test files given as arguments under pytest, for Bazel."""

import sys

import pytest

if __name__ == "__main__":
    # Bazel's runfiles are symbolic links to read-only files: no cache there.
    sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))
