"""Whether two answers are the same but for ids, numbers, addresses and trace ids: status, keys, types, error words."""

import re
from collections.abc import Iterator
from typing import Any

# What may differ inside an error's message: addresses, dates and long numbers. `metric[4]` and `(#100)` may not.
_FREE = (
    (re.compile(r"https?://\S+"), "<address>"),
    (re.compile(r"\w+day, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d \w+"), "<instant>"),
    (re.compile(r"\d{5,}"), "<id>"),
)
_PREFIX = re.compile(r"\(#(\d+)\)")
# The recorder replaced secrets by this, and error codes with them.
_REDACTED = "REDACTED"


def differences(recorded: Any, simulated: Any, at: str = "") -> Iterator[str]:
    """Every difference, as a path and what was recorded and simulated there."""
    if recorded == _REDACTED:
        return
    if _kind(recorded) != _kind(simulated):
        yield f"{at or 'answer'}: recorded {_kind(recorded)}, simulated {_kind(simulated)}"
    elif isinstance(recorded, dict):
        yield from _of_objects(recorded, simulated, at)
    elif isinstance(recorded, list):
        yield from _of_lists(recorded, simulated, at)
    elif at.endswith((".end_time", ".timestamp")) and recorded != simulated:
        yield f"{at}: recorded {recorded}, simulated {simulated}"


def message_differences(recorded: dict[str, Any], simulated: dict[str, Any]) -> Iterator[str]:
    """Differences in the words of two errors, and of the code that the words give away."""
    for name in ("message", "error_message", "error_user_title", "error_user_msg"):
        words, said = _plain(recorded.get(name)), _plain(simulated.get(name))
        if words != said:
            yield f"{name}: recorded {words!r}, simulated {said!r}"
    code = recorded.get("code")
    prefix = _PREFIX.match(str(recorded.get("message", "")))
    if code == _REDACTED and prefix:
        code = int(prefix[1])
    if code not in {None, _REDACTED, simulated.get("code")}:
        yield f"code: recorded {code}, simulated {simulated.get('code')}"
    for name in ("type", "error_type", "error_subcode", "is_transient"):
        if recorded.get(name) != simulated.get(name):
            yield f"{name}: recorded {recorded.get(name)!r}, simulated {simulated.get(name)!r}"


def _of_objects(recorded: dict[str, Any], simulated: dict[str, Any], at: str) -> Iterator[str]:
    for name in sorted(recorded.keys() - simulated.keys()):
        yield f"{at}.{name}: recorded, not simulated"
    for name in sorted(simulated.keys() - recorded.keys()):
        yield f"{at}.{name}: simulated, not recorded"
    for name in recorded.keys() & simulated.keys():
        yield from differences(recorded[name], simulated[name], f"{at}.{name}")


def _of_lists(recorded: list[Any], simulated: list[Any], at: str) -> Iterator[str]:
    """Rows with an id or an end are compared one by one, others (groups of people) by the shape they share."""
    if not recorded or not simulated:
        if recorded or simulated:
            yield f"{at}: recorded {len(recorded)} rows, simulated {len(simulated)}"
    elif isinstance(recorded[0], dict) and "dimension_values" in recorded[0]:
        yield from differences(recorded[0], simulated[0], f"{at}[]")
    elif len(recorded) != len(simulated):
        yield f"{at}: recorded {len(recorded)} rows, simulated {len(simulated)}"
    else:
        for place, (one, other) in enumerate(zip(recorded, simulated, strict=True)):
            yield from differences(one, other, f"{at}[{place}]")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", dict: "object", list: "list", type(None): "null"}[type(value)]


def _plain(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    words: str = text
    for pattern, stand_in in _FREE:
        words = pattern.sub(stand_in, words)
    return words
