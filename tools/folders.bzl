"""Targets for all Python files of a folder."""

load("@rules_python//python:defs.bzl", "py_library", "py_test")

def py_folder(deps = [], exclude = []):
    """A library of a folder's files, by the folder's name.

    Args:
      deps: What they import beside packages of PyPI.
      exclude: Files that have a target of their own.
    """
    py_library(
        name = native.package_name().split("/")[-1],
        srcs = native.glob(["*.py"], exclude = exclude),
        visibility = ["//visibility:public"],
        deps = deps + ["//:requirements"],
    )

def pytest_folder(deps = [], manual = []):
    """A test for each *_test.py; `helpers` are the folder's other files.

    Args:
      deps: What they import beside the package and its requirements.
      manual: Tests that read the checkout itself, which Bazel does not show
        them; pytest runs those.
    """
    tests = native.glob(["*_test.py"], allow_empty = True)
    deps = deps + ["//:conftest", "//:test_requirements", "//tsn_keras"]
    py_library(
        name = "helpers",
        testonly = True,
        srcs = native.glob(["*.py"], exclude = tests, allow_empty = True),
        visibility = ["//:__subpackages__"],
        deps = deps,
    )
    py_library(
        name = "tests",
        testonly = True,
        srcs = tests,
        deps = deps + [":helpers"],
    )
    for test in tests:
        py_test(
            name = test[:-len(".py")],
            srcs = ["//tools:pytest_main.py"],
            main = "//tools:pytest_main.py",
            args = ["$(location %s)" % test],
            data = [test],
            tags = ["manual"] if test in manual else [],
            deps = [":tests"],
        )
