"""A pytest plugin for CI (`-p tests.ci_strict`): a test that is skipped there has failed, for CI installs all that tests need.

An expected failure (xfail) stays what it is.
"""

from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skipped test's report into a failed one."""
    report = yield
    return report if hasattr(report, "wasxfail") else _fail_if_skipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turns a module skipped while it was imported (`importorskip`) into a failed one."""
    return _fail_if_skipped((yield))


def _fail_if_skipped(report: Report) -> Report:
    if report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {report.longrepr}"
    return report
