"""What `doctor` finds: one line of ok, warn or fail, and what to do about it.

Pure; the looking is done by the `checks_…` modules.
"""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """`subject` is what was looked at, `detail` what was seen, `advice` what to do; no secrets in any of them."""

    subject: str
    status: Status
    detail: str
    advice: str = ""


def ok(subject: str, detail: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", detail)


def warn(subject: str, detail: str, advice: str) -> Finding:
    """It works, but somebody should look."""
    return Finding(subject, "warn", detail, advice)


def fail(subject: str, detail: str, advice: str) -> Finding:
    """It cannot work so."""
    return Finding(subject, "fail", detail, advice)
