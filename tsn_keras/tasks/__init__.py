"""The life of a task, one file a step."""
