"""What `examples.published` runs: benchmarks, methods, jobs and the table."""
