"""What all command lines share: options, a quiet start, mistakes as one message."""

import argparse
import logging
import os
import sys
import tempfile

from keras_recattend.errors import UserError
from keras_recattend.near_names import near_names

__all__ = ["Parser", "flag_of", "quiet_tensorflow", "run_command"]


class Parser(argparse.ArgumentParser):
    """An argument parser that shows a module's docstring and names near options.

    `~` is written out: a shell leaves that to us in `--out=~/results`.
    """

    def __init__(self, description):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = [name for name in self._option_string_actions if name[:2] == "--"]
            name = unknown[0].split("=")[0]
            self.error(f"there is no option {name}.{near_names(name, known)}")
        for name, value in vars(options).items():
            setattr(options, name, _from_home(value))
        return options

    def named(self, args=None):
        """Return the names of the options that a command line has, as in `vars`.

        Args:
            args: as for `parse_args`, which has accepted them.
        """
        unset = object()
        values = argparse.Namespace(**{a.dest: unset for a in self._actions})
        self.parse_known_args(args, values)
        return {name for name, value in vars(values).items() if value is not unset}


def flag_of(name):
    """Return how an option is written of which `vars` has the name."""
    return "--" + name.replace("_", "-")


def _from_home(value):
    if isinstance(value, list):
        return [_from_home(one) for one in value]
    if isinstance(value, str) and (value == "~" or value[:2] in ("~/", "~" + os.sep)):
        return os.path.expanduser(value)
    return value


def quiet_tensorflow(start=True):
    """Import TensorFlow and find its devices without its start-up messages.

    They go past TF_CPP_MIN_LOG_LEVEL and look like failures where there is no GPU.
    They are shown after all if the import fails.

    Args:
        start: False leaves the devices alone, for what must be set before.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            if start:
                tf.zeros([])
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def run_command(main):
    """Run a command line's `main`; exit with 2 and one message on a `UserError`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    for name in ("absl", "tensorflow", "h5py"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        # Training's own says where it was saved and how to go on.
        print(f"\n{str(error) or 'Interrupted.'}", file=sys.stderr)
        sys.exit(130)
