"""Status, pages and metrics say the same of a connection: fine, waiting, or who must act."""

from datetime import timedelta

import pytest

from ig_pipeline.storage import sync_logs
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import ADMIN, PAGE, FrontDoor

EMAIL = "a@b.example"
PERMISSION = "acme has not granted instagram_manage_insights. Connect the account again and grant it."


def fail(small: SmallWorld, key: str, *, actor: str | None, error: str | None, status: str = "failed") -> None:
    """The last night of an account as its ledger has it."""
    one, now = small.connection(key), small.clock()
    row = {
        "u_id": one.u_id,
        "account_id": one.account_id,
        "account_key": key,
        "asset": "account_insights",
        "date": small.window(1)[0],
        "run_id": "a night's",
        "status": status,
        "rows": 0,
        "calls": 1,
        "absences": {},
        "lacking": [] if error else ["views"],
        "error_type": "AnError" if error else None,
        "error_message": error,
        "is_retryable": actor != "owner",
        "actor": actor,
        "started_at": now,
        "finished_at": now,
    }
    with small.engine.begin() as db:
        sync_logs.record(db, [row])


@pytest.mark.parametrize(
    ("actor", "error", "status", "state", "pill"),
    [
        ("owner", PERMISSION, "failed", "owner", "Reconnect needed"),
        ("operator", "Meta refuses the app itself: API access deactivated.", "failed", "operator", "Interrupted"),
        ("no_one", "Instagram's rate limit is reached.", "deferred", "waiting", "Catching up"),
        (None, None, "partial", "waiting", "Catching up"),
        (None, None, "complete", "fine", "Connected"),
    ],
)
def test_all_speak_from_one_judgement(
    door: FrontDoor, actor: str | None, error: str | None, status: str, state: str, pill: str
) -> None:
    small = door.small
    who = small.world.accounts[0].username
    door.connect(EMAIL, who)
    small.clock.advance(timedelta(minutes=1))
    fail(small, who, actor=actor, error=error, status=status)
    [shown] = door.status(EMAIL)
    assert (shown["status"], shown["state"]) == ("connected", state)
    assert shown["action"] == (PERMISSION if state == "owner" else None)
    assert (shown["note"] is None) == (state in ("owner", "fine"))
    assert (shown["reconnect_url"] is not None) == (state == "owner")
    for path in ("/", f"/accounts/{who}"):
        page = door.client.get(path, headers=PAGE).text
        assert pill in page, path
        # Meta's words about the app are the operator's to read.
        assert "API access deactivated" not in page
        assert ("granted instagram_manage_insights" in page) == (state == "owner")
    metrics = door.client.get("/metrics", headers=ADMIN).text
    assert f'ig_pipeline_connections_judged{{state="{state}"}} 1.0' in metrics
