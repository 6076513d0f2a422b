"""Names of accounts that are being forgotten, found in and taken out of what Dagster has stored as JSON.

Only where an account can stand: an account may be called `complete`, or as the code location is. Cells and the keys of
our partitions are recognised by their form and field, lines of our tables by their first column. Sentences, in which a
name could be anywhere, are those of errors and of descriptions; `_SENTENCES` lists their fields.
"""

import json
import re
from collections.abc import Collection, Mapping

import dagster as dg

FORGOTTEN = "(forgotten)"
"""Stands where a sentence or a tag named one of the accounts."""

# Dagster's stored JSON names the class of each object; there is no public description of what it stores.
_SENTENCES = {
    ("SerializableErrorInfo", "message"),
    ("UserFailureData", "description"),
    ("AssetObservation", "description"),  # of a request for files
    ("PartitionBackfill", "title"),
    ("PartitionBackfill", "description"),
}
_MARKDOWN = ("MarkdownMetadataEntryData", "md_str")
_PARTITIONS = "DynamicPartitionsRequestResult"
_TAGS = "tags"

_CELL = re.compile(r"(.+)\|\d{4}-\d\d-\d\d")
# The first column of a table's row or of a list's item: one account or, where the app is at fault, several.
_FIRST_COLUMN = re.compile(r"(\| |- \*\*)(.*?)( \||\*\*:)")
# A name begins and ends where no letter of another account key or email stands; the dot that ends a sentence is none.
_BEFORE = r"(?<![A-Za-z0-9_-])(?<![A-Za-z0-9_]\.)"
_AFTER = r"(?![A-Za-z0-9_@-]|\.[A-Za-z0-9_])"


class Names:
    """Account keys, and the words (keys, usernames, account ids, emails) that mean these accounts and no others.

    `dimension`: the name of the dynamic partitions whose keys are accounts. `tags`: names of tags whose value is an
    account or a cell.
    """

    def __init__(
        self, keys: Collection[str], words: Collection[str], *, dimension: str, tags: Collection[str] = ()
    ) -> None:
        self.keys = frozenset(keys)
        words = frozenset(words) | self.keys
        # As they stand in JSON, and in JSON inside JSON.
        once = {json.dumps(word)[1:-1] for word in words}
        self._spellings = words | once | {json.dumps(word)[1:-1] for word in once}
        self._dimension, self._tags = dimension, frozenset(tags)
        choice = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        self._pattern = re.compile(f"{_BEFORE}(?:{choice}){_AFTER}")

    def are_in(self, sentence: str) -> bool:
        """Whether `sentence` has one of the words, whole."""
        return self._pattern.search(sentence) is not None

    def is_cell(self, text: str) -> bool:
        """Whether `text` is the key of a cell of theirs."""
        found = _CELL.fullmatch(text)
        return found is not None and found[1] in self.keys

    def in_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Those of a run's or a backfill's tags that name them, as they are to be."""
        return {
            name: FORGOTTEN
            for name, value in tags.items()
            if name in self._tags and (value in self.keys or self.is_cell(value))
        }

    def without_them(self, text: str) -> str | None:
        """`text`, an object as Dagster serialises it, with the names taken out; None where that breaks it.

        The same string when they are not in it.
        """
        if not any(spelling in text for spelling in self._spellings):
            return text
        found = json.loads(text)
        cleaned = self._cleaned(found)
        if cleaned == found:
            return text
        written = json.dumps(cleaned)
        try:
            dg.deserialize_value(written)
        except Exception:  # noqa: BLE001 - whatever it is, the caller removes the whole object then
            return None
        return written

    def _cleaned(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._cleaned(item) for item in value if not self._is_about_them(item)]
        if isinstance(value, dict):
            return self._object(value)
        return value

    def _object(self, value: Mapping[str, object]) -> dict[str, object]:
        kind = str(value.get("__class__", ""))
        if kind == _PARTITIONS and value.get("partitions_def_name") == self._dimension:
            return {
                field: [key for key in item if key not in self.keys] if isinstance(item, list) else item
                for field, item in value.items()
            }
        return {field: self._field(kind, field, item) for field, item in value.items() if not self.is_cell(field)}

    def _field(self, kind: str, field: str, item: object) -> object:
        if isinstance(item, str):
            if (kind, field) in _SENTENCES:
                return "\n".join(FORGOTTEN if self.are_in(line) else line for line in item.split("\n"))
            if (kind, field) == _MARKDOWN:
                lines = (self._line(line) for line in item.split("\n"))
                return "\n".join(line for line in lines if line is not None)
        if field == _TAGS and isinstance(item, dict):
            return item | self.in_tags({name: value for name, value in item.items() if isinstance(value, str)})
        return self._cleaned(item)

    def _text(self, text: str) -> str:
        if self.is_cell(text):
            return FORGOTTEN
        if text.startswith(("{", "[")):
            try:
                found = json.loads(text)
            except ValueError:
                return text  # a sentence that begins with a bracket
            cleaned = self._cleaned(found)
            return text if cleaned == found else json.dumps(cleaned)
        return text

    def _line(self, line: str) -> str | None:
        """A line of a table or a list without them; None when it is about them alone."""
        found = _FIRST_COLUMN.match(line)
        named = found[2].split(", ") if found else []
        left = [name for name in named if name not in self.keys]
        if found is None or left == named:
            return line
        return f"{found[1]}{', '.join(left)}{line[found.end(2) :]}" if left else None

    def _is_about_them(self, item: object) -> bool:
        """A cell among others, also as the first of a pair."""
        first = item[0] if isinstance(item, list) and item else item
        return isinstance(first, str) and self.is_cell(first)
