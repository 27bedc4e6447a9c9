"""What came out: the seed's table, the checks beside it, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("Model", "Provider", "Token", "Response", "Status")
ONE_URL_COLUMNS = ("Model", "SDK", "Request", "Response", "Status")


@dataclass(frozen=True)
class Row:
    """One line of the table: a model answered through the gateway, or did not."""

    model: str
    provider: str
    token: str
    response: str
    passed: bool
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line's texts, in the order of COLUMNS."""
        return self.model, self.provider, self.token, f'"{self.response}"', verdict(self.passed)


@dataclass(frozen=True)
class OneUrlRow:
    """One line of the second table: a model answered at the gateway's root, or did not."""

    model: str
    sdk: str
    request: str
    response: str
    passed: bool
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line's texts, in the order of ONE_URL_COLUMNS."""
        return self.model, self.sdk, self.request, f'"{self.response}"', verdict(self.passed)


@dataclass(frozen=True)
class Finding:
    """One check: what was promised, whether it held, and what was measured (or why it failed)."""

    promise: str
    passed: bool
    measured: str


@dataclass(frozen=True)
class Report:
    """The whole result. ``url``: the gateway's, at which the rows of ``one_url`` were called."""

    rows: Sequence[Row]
    url: str
    one_url: Sequence[OneUrlRow]
    findings: Sequence[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything was run and held."""
        return all(
            bool(lines) and all(line.passed for line in lines) for lines in (self.rows, self.one_url, self.findings)
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, for a machine."""
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "models": [{**asdict(row), "status": verdict(row.passed)} for row in self.rows],
            "one_url": [{**asdict(row), "status": verdict(row.passed)} for row in self.one_url],
            "checks": [{**asdict(finding), "status": verdict(finding.passed)} for finding in self.findings],
        }


def verdict(passed: bool) -> str:
    """PASS or FAIL."""
    return "PASS" if passed else "FAIL"


def table(rows: Sequence[Row]) -> list[str]:
    """The result table as aligned lines, header first, the reason of a failure under its row."""
    return _aligned(COLUMNS, rows)


def one_url_table(rows: Sequence[OneUrlRow]) -> list[str]:
    """The second table, in the same way."""
    return _aligned(ONE_URL_COLUMNS, rows)


def _aligned(columns: tuple[str, ...], rows: Sequence[Row | OneUrlRow]) -> list[str]:
    every = [columns, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in every) for column in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()

    lines = [line(columns), "  ".join("-" * width for width in widths)]
    for row in rows:
        lines.append(line(row.cells()))
        if row.reason:
            lines.append(f"  {row.reason}")
    return lines


def checklist(findings: Sequence[Finding]) -> list[str]:
    """The checks as aligned lines."""
    width = max((len(finding.promise) for finding in findings), default=0)
    return [f"{verdict(item.passed)}  {item.promise.ljust(width)}  {item.measured}".rstrip() for item in findings]
