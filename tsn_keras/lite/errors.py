"""The error of an export that cannot be used."""


class ExportError(RuntimeError):
    """A file could not be made, or does not compute what the model does.

    The message says what differed or which layer is to blame. No file is
    left behind.
    """
