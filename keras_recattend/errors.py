"""Mistakes that the user can mend."""

__all__ = ["ConfigError", "UserError"]


class UserError(ValueError):
    """Something in the data, the options or a run folder is not as it should be.

    The message says what was expected, what came and what to do.
    """


class ConfigError(UserError):
    """A setting that does not exist or cannot work."""
