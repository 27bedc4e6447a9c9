"""What came out: the seed's table, the checks beside it, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("Model", "Provider", "Token", "Response", "Status")


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
class Finding:
    """One check: what was promised, whether it held, and what was measured (or why it failed)."""

    promise: str
    passed: bool
    measured: str


@dataclass(frozen=True)
class Report:
    """The whole result."""

    rows: Sequence[Row]
    findings: Sequence[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything was run and held."""
        called = bool(self.rows) and all(row.passed for row in self.rows)
        return called and bool(self.findings) and all(finding.passed for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a machine."""
        return {
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "models": [{**asdict(row), "status": verdict(row.passed)} for row in self.rows],
            "checks": [{**asdict(finding), "status": verdict(finding.passed)} for finding in self.findings],
        }


def verdict(passed: bool) -> str:
    """PASS or FAIL."""
    return "PASS" if passed else "FAIL"


def table(rows: Sequence[Row]) -> list[str]:
    """The result table as aligned lines, header first, the reason of a failure under its row."""
    every = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in every) for column in range(len(COLUMNS))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()

    lines = [line(COLUMNS), "  ".join("-" * width for width in widths)]
    for row in rows:
        lines.append(line(row.cells()))
        if row.reason:
            lines.append(f"  {row.reason}")
    return lines


def checklist(findings: Sequence[Finding]) -> list[str]:
    """The checks as aligned lines."""
    width = max((len(finding.promise) for finding in findings), default=0)
    return [f"{verdict(item.passed)}  {item.promise.ljust(width)}  {item.measured}".rstrip() for item in findings]
