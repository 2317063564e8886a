"""The suites of `python -m examples.benchmark`."""
