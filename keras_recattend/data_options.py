"""Options of command lines that say which data is meant, one place for all."""

__all__ = ["NAMES", "actual_name", "add_data_options", "options_of"]

# The options of single data sets. None, and not False, is what they are where they were
# not given: runs of before an option was there have it unset.
NAMES = (
    "category",
    "subset",
    "annotations",
    "images",
    "skip_unlabelled",
    "all_images",
)


def add_data_options(parser, default=None, all_images=False):
    """Add the options of single data sets (`NAMES`) to an argument parser.

    Args:
        default: what they are if they are not given, in words; None = the data sets'
            own defaults.
        all_images: whether to add --all-images, too.
    """
    add = parser.add_argument
    add(
        "--category",
        help="coco, labelme: a name, several with commas, or all; default: "
        + (default or "all"),
    )
    add(
        "--subset",
        help="cvppp: A1, A2, A3, A4; A5, which has test images alone; default: "
        + (default or "A1"),
    )
    add("--annotations", metavar="FILE", help="coco: one's own file")
    add("--images", metavar="DIR", help="coco: where its pictures are")
    add(
        "--skip-unlabelled",
        action="store_true",
        default=None,
        help="folder, labelme: leave images without labels out",
    )
    if all_images:
        add(
            "--all-images",
            action="store_true",
            default=None,
            help="coco: also images without an object of the categories, and test "
            "images",
        )


def actual_name(dataset: str, options: dict) -> str:
    """Return the entry that is meant: "coco" with annotations of one's own is another.

    Args:
        dataset: as it was given.
        options: as from `options_of`.
    """
    own = dataset == "coco" and {"annotations", "images"} & options.keys()
    return "own_coco" if own else dataset


def options_of(values: dict) -> dict:
    """Pick the data set's options that were given from a command line's options.

    Args:
        values: `vars` of the parsed options, or what a run stored of them.

    Returns:
        Arguments for `prepare`.
    """
    return {name: values[name] for name in NAMES if values.get(name) is not None}
