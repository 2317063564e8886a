"""Runs to learn from, each `python -m examples.NAME --flags`."""
