"""Measure training, inference and pipeline.

    python -m benchmarks                        everything; give it the machine alone
    python -m benchmarks --quick                the three ratios, in one to two minutes
    python -m benchmarks --json FILE            save it, for `benchmarks.report`

Needs Linux. Every variant runs in a process of its own; those of a group take turns.
"""

import subprocess
import sys

from benchmarks import suite, table
from benchmarks.interleaved import measure
from benchmarks.results import rows, save, summary
from keras_recattend.command_line import Parser, run_command
from keras_recattend.errors import UserError

# Repetitions of every case, not counting the first.
REPETITIONS, QUICK_REPETITIONS = 7, 3


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the three ratios only, few repetitions"
    )
    parser.add_argument("--json", metavar="FILE", help="where to save the numbers")
    return parser.parse_args(arguments)


def profile(variant):
    """Return what `python -m benchmarks.profiling` prints."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.profiling", variant],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def main():
    options = parse()
    if not sys.platform.startswith("linux"):
        raise UserError("The benchmarks read Linux' /proc: they run on Linux alone.")
    cases = suite.quick_groups() if options.quick else suite.groups()
    repetitions = QUICK_REPETITIONS if options.quick else REPETITIONS
    groups = {}
    for title, group in cases.items():
        groups[title] = rows(measure(group, repetitions))
        print(f"\n{title}\n\n{table.table(groups[title])}", flush=True)
    values = summary(groups, options.quick)
    if not options.quick:
        values["profiles"] = {name: profile(name) for name in ("plain", "ours")}
    print(f"\n{table.ratio_lines(values)}")
    if options.json:
        save(values, options.json)


if __name__ == "__main__":
    run_command(main)
