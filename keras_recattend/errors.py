"""Mistakes that the user can mend, and how a command line tells them."""

import logging
import sys

__all__ = ["UserError", "run_command"]


class UserError(ValueError):
    """Something in the data, the options or a run folder is not as it should be.

    The message says what was expected, what came and what to do.
    """


def run_command(main, *user_errors):
    """Run a command line's `main`; exit with 2 and one message on a user's mistake.

    Args:
        main: function without arguments.
        user_errors: further exception classes that are the user's to mend.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    for name in ("absl", "tensorflow", "h5py"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        main()
    except (UserError, *user_errors) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        sys.exit(130)
