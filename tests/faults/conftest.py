"""The table of the fault bench, at the end of a run of pytest."""

import os

import pytest
import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the injected faults came to."""
    if not tally.notes() or "FAULT_WORK" in os.environ:  # whole.py makes one of all
        return
    terminalreporter.write_sep("-", "faults injected, and what they came to")
    for line in tally.table():
        terminalreporter.write_line(line)
