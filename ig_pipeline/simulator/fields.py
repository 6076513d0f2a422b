"""The grammar of `fields`: names, `.modifier(value)` and `{nested lists}`, to any depth.

Only reading; which fields exist is decided in `nodes`.
"""

from dataclasses import dataclass, field

from ig_pipeline.simulator.refusals import bad_syntax

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True)
class Field:
    """One requested field: `insights.metric(reach).period(day){name}` has two modifiers and one child."""

    name: str
    modifiers: dict[str, str] = field(default_factory=dict)
    children: tuple["Field", ...] = ()

    @property
    def shown_as(self) -> str:
        """The key of the answer: `.as(alias)` renames."""
        return self.modifiers.get("as", self.name)


def parse_fields(text: str | None) -> tuple[Field, ...]:
    """Read a field list; empty or None gives no fields. Raises RefusalError for a malformed one."""
    if not text or not text.strip():
        return ()
    reader = _Reader(text)
    fields = reader.fields()
    reader.expect_end()
    return fields


class _Reader:
    """A position in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fields(self) -> tuple[Field, ...]:
        found = [self.one()]
        while self.take(","):
            if self.peek() in {"", "}"}:  # a comma at the end is forgiven
                break
            found.append(self.one())
        return tuple(found)

    def one(self) -> Field:
        name, modifiers = self.name(), {}
        while self.take("."):
            modifier = self.name()
            modifiers[modifier] = self.value()
        children: tuple[Field, ...] = ()
        if self.take("{"):
            children = () if self.peek() == "}" else self.fields()
            if not self.take("}"):
                raise self.error("}")
        return Field(name, modifiers, children)

    def name(self) -> str:
        self.skip()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _NAME:
            self.at += 1
        if start == self.at:
            raise self.error("a name")
        return self.text[start : self.at]

    def value(self) -> str:
        if not self.take("("):
            raise self.error("(")
        depth, start = 1, self.at
        while self.at < len(self.text) and depth:
            depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
            self.at += 1
        if depth:
            raise self.error(")")
        return self.text[start : self.at - 1].strip()

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self.at += 1
        return True

    def expect_end(self) -> None:
        if self.peek():
            raise self.error("end of string")

    def error(self, wanted: str) -> Exception:
        found = self.text[self.at : self.at + 1] or "end of string"
        return bad_syntax(f'"Expected {wanted} instead of "{found}"." at character {self.at}: {self.text}')
