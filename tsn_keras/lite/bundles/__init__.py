"""All tasks in one file."""
