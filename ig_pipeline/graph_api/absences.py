"""Why a value that was asked for is not there: a reason a program can compare and a sentence for a person.

An absence is a fact about an account or a post, not an error: it is recorded, and no cell is red for it.
Errors live in `errors`; the mapping from an error to an absence stands in the fetchers.
"""

from dataclasses import dataclass
from typing import Literal

AbsenceReason = Literal[
    "too_few_followers",  # fewer than 100 followers: follower_count, online_followers, follows_and_unfollows
    "too_few_people",  # demographics: fewer than 100 people in the audience (subcode 2874010)
    "too_few_viewers",  # a story with fewer than 5 viewers (code 10)
    "before_conversion",  # posted before the account became professional (subcode 2108006): for ever
    "history_limit",  # older than the API keeps: two years, follower_count 30 days
    "not_shared_to_facebook",  # views on Facebook of a post that is not there (code -1, subcode 2207086)
    "not_supported",  # the metric is refused for this account, product type or API version
    "silently_missing",  # a 200 without the metric, and again when asked for alone
    "not_settled",  # too fresh: Meta needs up to 48 h
    "hidden_by_owner",  # like_count where the owner hides likes
    "withheld",  # media_url of flagged or copyrighted media
    "gone",  # the object was deleted or may not be seen any more
]


@dataclass(frozen=True)
class Absence:
    """What is missing and why: `reason` for programs, `detail` one sentence for people, without secrets."""

    reason: AbsenceReason
    detail: str
