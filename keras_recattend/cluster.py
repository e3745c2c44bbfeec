"""What `TF_CONFIG` says of the machines that train together. Plain Python."""

import json
import os
import typing

from keras_recattend.errors import UserError
from keras_recattend.near_names import near_names

__all__ = ["STRATEGIES", "Cluster", "check_strategy"]

STRATEGIES = ("mirrored", "multiworker")
EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class Cluster(typing.NamedTuple):
    """The machines, and which of them this is.

    Attributes:
        workers: addresses, the chief's first.
        index: this machine's place in `workers`; 0 is the chief.
    """

    workers: tuple
    index: int

    @property
    def is_chief(self):
        return self.index == 0

    @classmethod
    def of_environment(cls, environment=None):
        """Read `TF_CONFIG`.

        Raises:
            UserError: it is missing, or does not describe workers of which this
                machine is one.
        """
        text = (os.environ if environment is None else environment).get("TF_CONFIG")
        if not text:
            raise UserError(
                "--strategy multiworker needs the environment variable TF_CONFIG on "
                f"every machine, each with its own index, for example {EXAMPLE}. "
                "docs/scaling.md shows how to set it. For the GPUs of one machine use "
                "--strategy mirrored."
            )
        try:
            values = json.loads(text)
            machines, task = values["cluster"], values["task"]
            kind, number = task["type"], int(task["index"])
            workers = (*machines.get("chief", ()), *machines.get("worker", ()))
            index = number + (len(machines.get("chief", ())) if kind == "worker" else 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"TF_CONFIG cannot be read ({error!r}): {text!r}. Expected JSON such "
                f"as {EXAMPLE}."
            ) from error
        if kind not in ("chief", "worker"):
            raise UserError(
                f"TF_CONFIG gives this machine the task {kind!r}; training knows "
                "chief and worker alone."
            )
        if not 0 <= number < len(machines.get(kind, ())):
            raise UserError(
                f"TF_CONFIG says this is {kind} {number}, but lists "
                f"{len(machines.get(kind, ()))} of that kind."
            )
        return cls(workers, index)


def check_strategy(name):
    """Return the `Cluster` of a strategy's name, or None where it needs none.

    Raises:
        UserError: an unknown name, or one that cannot work here.
    """
    if name is None or name == "mirrored":
        return None
    if name not in STRATEGIES:
        raise UserError(f"There is no strategy {name!r}.{near_names(name, STRATEGIES)}")
    return Cluster.of_environment()
