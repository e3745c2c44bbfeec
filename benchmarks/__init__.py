"""What is fast, measured: `python -m benchmarks`. See README.md beside this file."""
