"""The one error that means: the data is at fault, and the user can mend it."""

from keras_recattend.errors import UserError

__all__ = ["DataError"]


class DataError(UserError):
    """A problem in the user's data, folder or records.

    The message says what was expected, what was found and what to do. Command lines
    print it without a traceback and leave with exit code 2.
    """
