"""Options of the test run."""

from __future__ import annotations

from collections.abc import Generator

import pytest

# What may be absent everywhere: the reference models, and Espressif's own compilers, which come with PlatformIO or
# ESP-IDF and not as a package of any distribution.
OPTIONAL = ("../shared", "xtensa-esp32-elf-gcc", "xtensa-esp32s3-elf-gcc")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --tools-required."""
    parser.addoption(
        "--tools-required",
        action="store_true",
        help="a test that skips is a failure, unless what it lacks is optional (tests/conftest.py lists that)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With --tools-required, report a test that skipped for want of a tool as failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--tools-required"):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips."""
    report = yield
    if report.skipped and collector.config.getoption("--tools-required"):
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    if not any(name in reason for name in OPTIONAL):
        report.outcome = "failed"
        report.longrepr = f"--tools-required: a tool is missing ({reason.removeprefix('Skipped: ')})"
