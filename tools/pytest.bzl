"""A py_test that runs its file under pytest."""

load("@pip//:requirements.bzl", "requirement")
load("@rules_python//python:defs.bzl", _py_test = "py_test")

def py_test(name, srcs, deps = [], **kwargs):
    """A test file without a main function of its own, run by pytest.

    Args:
      name: Name of the target.
      srcs: The test file, alone in a list.
      deps: Libraries that the test imports.
      **kwargs: Passed on to rules_python's py_test.
    """
    pytest = requirement("pytest")
    _py_test(
        name = name,
        srcs = srcs + ["//tools:pytest_main.py"],
        main = "//tools:pytest_main.py",
        args = ["$(location %s)" % src for src in srcs],
        deps = deps + ([] if pytest in deps else [pytest]),
        **kwargs
    )
