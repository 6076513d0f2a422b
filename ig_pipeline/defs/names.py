"""Names of accounts that are being forgotten, found in and taken out of what Dagster has stored as JSON.

Pure: where the JSON stands is `stored_events`' and `forgetting`'s.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from dagster._serdes import deserialize_value

FORGOTTEN = "(forgotten)"
"""Stands where a sentence or a tag named one of the accounts."""

# A name begins and ends where no letter of another account key or email stands, in a text or in its JSON, where a new
# line is the letter n; the dot that ends a sentence is none.
_BEFORE = r"(?:(?<=\\[nrt])|(?<=\\u[0-9a-f]{4})|(?<![A-Za-z0-9_-])(?<![A-Za-z0-9_]\.))"
_AFTER = r"(?![A-Za-z0-9_@-]|\.[A-Za-z0-9_])"


class Names:
    """Account keys, and the words (keys, usernames, account ids, emails) that mean these accounts and nobody else."""

    def __init__(self, keys: Collection[str], words: Collection[str]) -> None:
        self.keys = frozenset(keys)
        self.words = frozenset(words) | self.keys
        # As they stand in JSON, and in JSON inside JSON.
        once = {json.dumps(word)[1:-1] for word in self.words}
        self.spellings = self.words | once | {json.dumps(word)[1:-1] for word in once}
        choice = "|".join(re.escape(word) for word in sorted(self.spellings, key=len, reverse=True))
        self._pattern = re.compile(f"{_BEFORE}(?:{choice}){_AFTER}")

    def __bool__(self) -> bool:
        return bool(self.words)

    def are_in(self, text: str) -> bool:
        """Whether `text` has one of the words, whole."""
        return self._pattern.search(text) is not None

    def without_them(self, text: str, kind: type[Any]) -> str | None:
        """`text`, an object of `kind` as Dagster serialises it, with the names taken out; None where that breaks it."""
        found = json.loads(text)
        cleaned = self._cleaned(found)
        if cleaned == found:  # an asset or a field is called like an account
            return text
        written = json.dumps(cleaned)
        try:
            deserialize_value(written, kind)
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
        # An asset may be called like an account: its `path` stays. Of keys only cells are anybody's.
        return {
            key: item if key == "path" else self._cleaned(item)
            for key, item in value.items()
            if key.partition("|")[0] not in self.keys or "|" not in key
        }

    def _text(self, text: str) -> str:
        if not self.are_in(text):
            return text
        if text.startswith(("{", "[")):
            try:
                return json.dumps(self._cleaned(json.loads(text)))
            except ValueError:
                pass  # a sentence that begins with a bracket
        if "\n" in text:
            return "\n".join(line for line in text.split("\n") if not self.are_in(line))
        return FORGOTTEN

    def _is_about_them(self, item: object) -> bool:
        """An account key or a cell among others of its kind, also as the first of a pair."""
        first = item[0] if isinstance(item, list) and item else item
        return isinstance(first, str) and first.partition("|")[0] in self.keys
