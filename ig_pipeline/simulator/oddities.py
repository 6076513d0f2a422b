"""What is out of order on request: the app itself, token answers without an end, odd Pages, unreadable grants.

Set by the levers of `control`, read by `simulation` and `logins`; at the start everything is in order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Json

AppFault = Literal["switched_off", "blocked", "deleted", "development_mode"]
PageRow = Literal["no_username", "null_account", "odd_account", "no_object"]
Unreadable = Literal["nonexisting_field", "malformed", "gone", "server_error"]
APP_FAULTS: tuple[AppFault, ...] = get_args(AppFault)
PAGE_ROWS: tuple[PageRow, ...] = get_args(PageRow)
UNREADABLE: tuple[Unreadable, ...] = get_args(Unreadable)

# Looks like an account's id and is none of any world.
UNREADABLE_ID = "17841499999999990"

_APP_REFUSALS: dict[AppFault, Callable[[], RefusalError]] = {
    "switched_off": refusals.app_switched_off,
    "blocked": refusals.app_blocked,
    "deleted": refusals.app_deleted,
    "development_mode": refusals.app_in_development,
}
_PAGE: Json = {"id": "100000000000001", "name": "An odd Page"}
_ROWS: dict[PageRow, Any] = {
    "no_username": {**_PAGE, "instagram_business_account": {"id": "17841499999999991"}},
    "null_account": {**_PAGE, "instagram_business_account": None},
    "odd_account": {**_PAGE, "instagram_business_account": {"id": {"value": 1}, "username": "odd"}},
    "no_object": "100000000000001",
}


@dataclass
class Oddities:
    """Everything that is out of order. `expires_in_omitted`: token answers name no end."""

    app: AppFault | None = None
    expires_in_omitted: bool = False
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    """Id of a person → how the id answers that `debug_token` names among their grants."""
    only_unreadable: bool = False
    """Whether it names no other id then."""
    rows: dict[str, PageRow] = field(default_factory=dict)
    """Id of a person → the odd row at the head of their Pages."""
    empty: dict[str, int] = field(default_factory=dict)
    """Id of a person → how many more listings of their Pages are empty."""

    def check_app(self) -> None:
        """Raises RefusalError while the app is out of order."""
        if self.app is not None:
            raise _APP_REFUSALS[self.app]()

    def granted(self, subject: str, ids: list[str]) -> list[str]:
        """The ids of a grant, the unreadable one first or alone."""
        if subject not in self.unreadable:
            return ids
        return [UNREADABLE_ID, *([] if self.only_unreadable else ids)]

    def answer_of(self, object_id: str, subject: str) -> Json | None:
        """The answer of the unreadable id; None for any other. Raises RefusalError."""
        if object_id != UNREADABLE_ID or subject not in self.unreadable:
            return None
        match self.unreadable[subject]:
            case "malformed":
                return {"id": object_id}
            case "gone":
                raise refusals.no_such_object(object_id)
            case "server_error":
                raise refusals.unknown_error()
            case "nonexisting_field":
                raise refusals.no_such_field("username")

    def listed(self, subject: str, answer: Json, *, first_page: bool) -> Json:
        """A listing of Pages as this person gets it."""
        if left := self.empty.get(subject, 0):
            self.empty[subject] = left - 1
            return {"data": []}
        if subject in self.rows and first_page:
            return {**answer, "data": [_ROWS[self.rows[subject]], *answer["data"]]}
        return answer
