"""Why a value that was asked for is not there: a reason a program can compare and a sentence for a person.

An absence is a fact about an account or a post, not an error. Whether it is one by a rule that Meta has named, or one
that nothing explains, is decided here: the first completes a cell, the second has it asked for again.
Errors live in `errors`; the mapping from an error to an absence stands in `metric_fallback`.
"""

from dataclasses import dataclass
from typing import Literal

AbsenceReason = Literal[
    "too_few_followers",  # fewer than 100 followers, as the profile says: follower_count, online_followers, follows
    "too_few_people",  # demographics: fewer than 100 people in the audience (subcode 2874010)
    "too_few_viewers",  # a story with fewer than 5 viewers (code 10)
    "before_conversion",  # posted before the account became professional (subcode 2108006): for ever
    "history_limit",  # older than the API keeps: two years, follower_count 30 days
    "not_shared_to_facebook",  # views on Facebook of a post that is not there (code -1, subcode 2207086)
    "not_supported",  # refused by a named rule for this account, product type, login or API version
    "refused_repeatedly",  # refused without a rule, and again over hours
    "not_settled",  # too fresh: Meta needs up to 48 h
    "hidden_by_owner",  # like_count where the owner hides likes
    "withheld",  # media_url of flagged or copyrighted media
    "gone",  # the object was deleted or may not be seen any more
    "refused",  # refused without naming a rule: may be answered when asked again
    "silently_missing",  # a 200 without the value, also when asked for alone
    "unreadable",  # a value of a shape nobody documented
]

UNEXPLAINED: frozenset[AbsenceReason] = frozenset({"refused", "silently_missing", "unreadable"})
"""Reasons that are no statement of Meta's: nothing lasting follows from them, and the value is asked for again."""


@dataclass(frozen=True)
class Absence:
    """What is missing and why: `reason` for programs, `detail` one sentence for people, without secrets."""

    reason: AbsenceReason
    detail: str

    @property
    def is_explained(self) -> bool:
        """Whether a rule says that there is no value; False: asking again may bring it."""
        return self.reason not in UNEXPLAINED
