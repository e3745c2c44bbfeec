"""Nested dataclasses out of the dictionaries that JSON gives."""

import dataclasses
import types
import typing

from keras_recattend.errors import ConfigError
from keras_recattend.near_names import near_names

__all__ = ["check_name", "read"]


def read(kind, values):
    """Return a dataclass from a dictionary of its fields.

    Fields that are dataclasses, or dictionaries of them by name, are read alike.

    Args:
        kind: the dataclass. values: a dictionary; what is missing takes its default.

    Raises:
        ConfigError: there is no field of a name.
        TypeError: a field without default is missing.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for name, value in values.items():
        check_name(kind, name)
        arguments[name] = _value(_not_none(hints[name]), value)
    return kind(**arguments)


def check_name(kind, name):
    """Raise a ConfigError that names near ones if a dataclass has no such field."""
    names = [f.name for f in dataclasses.fields(kind)]
    if name not in names:
        raise ConfigError(
            f"{kind.__name__} has no option {name!r}." + near_names(name, names)
        )


def _value(kind, value):
    if dataclasses.is_dataclass(kind) and value is not None:
        return read(kind, value)
    if typing.get_origin(kind) is dict:
        _, item = typing.get_args(kind)
        return {name: read(item, values) for name, values in value.items()}
    return _tuples(value)


def _not_none(hint):
    """`X` of `X | None`; other hints as they are."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def _tuples(value):
    """JSON's lists, nested ones as well, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
