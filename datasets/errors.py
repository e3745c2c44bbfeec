"""The one error that means: the data is at fault, and the user can mend it."""

__all__ = ["DataError"]


class DataError(ValueError):
    """A problem in the user's data, folder or records.

    The message says what was expected, what was found and what to do. Command lines
    print it without a traceback and leave with exit code 2.
    """
