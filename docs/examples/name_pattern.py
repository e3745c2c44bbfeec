"""Regular expressions that tell what the names of photographs say."""

import re


def name_pattern(pattern: str, groups: tuple[str, ...], example: str) -> re.Pattern:
    """Compile a --pattern.

    Args:
        pattern: as given. groups: that it must have. example: one that has them.

    Raises:
        ValueError: it is no regular expression, or lacks a group.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"--pattern {pattern} is no regular expression ({error}); expected one "
            f"such as {example}"
        ) from error
    if set(groups) - set(expression.groupindex):
        needed = " and ".join(f"(?P<{group}>...)" for group in groups)
        raise ValueError(f"--pattern needs {needed}: {pattern}")
    return expression
