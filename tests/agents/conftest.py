"""Prints the table when all agents have ended."""

import pytest

from tests.agents.table import ROWS, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if ROWS:
        terminalreporter.section("what the agents did")
        terminalreporter.write_line(table())
