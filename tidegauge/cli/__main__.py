"""`python -m tidegauge.cli` is the same as `tidegauge`."""

from tidegauge.cli import main

main()
