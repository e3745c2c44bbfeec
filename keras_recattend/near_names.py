"""What to say of a name that does not exist."""

import difflib

__all__ = ["near_names"]


def near_names(name, names):
    """Return a ' Did you mean ...?' or ' Known: ...' sentence for an unknown name."""
    near = difflib.get_close_matches(str(name), list(names), n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(repr(n) for n in near)}?"
    return f" Known: {', '.join(sorted(names))}."
