"""Rows of text as a table in Markdown."""

__all__ = ["markdown_table"]


def markdown_table(headings, rows, left=1):
    """Return the lines of a table.

    Args:
        headings: of the columns. rows: lists of as many texts.
        left: columns that are set to the left; numbers stand to the right.
    """
    sides = ["---"] * left + ["---:"] * (len(headings) - left)
    return ["| " + " | ".join(cells) + " |" for cells in (headings, sides, *rows)]
