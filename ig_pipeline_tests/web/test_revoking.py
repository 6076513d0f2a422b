"""A token that is destroyed here does not live on at Meta: who copied it has nothing."""

from typing import Any

import httpx
import pytest

from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.simulator.faults import FaultPlan, FaultRule, Faults
from ig_pipeline.storage import tables
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import ADMIN, FrontDoor, front_door

EMAIL = "a@b.example"


def works(small: SmallWorld, token: str) -> bool:
    """Whether Meta takes a token that was copied before."""
    return httpx.get(f"{small.simulator.url}/me", params={"access_token": token}).status_code == 200


def ended(door: FrontDoor, path: str, **chosen: str) -> list[dict[str, Any]]:
    answer = door.client.delete(path, params={"email": EMAIL, **chosen}, headers=ADMIN)
    assert answer.status_code in (200, 202), answer.text
    tokens: list[dict[str, Any]] = answer.json()["tokens"]
    return tokens


@pytest.mark.parametrize("path", ["/v1/connections/instagram", "/v1/users"])
def test_ending_a_connection_ends_the_token_at_meta(door: FrontDoor, path: str) -> None:
    who = door.small.world.accounts[0].username
    copied = door.small.simulator.token(who)
    door.connect(EMAIL, who)
    assert works(door.small, copied)
    (told,) = ended(door, path)
    assert (told["account"], told["at_meta"]) == (who, "revoked")
    assert "at Meta, too" in told["detail"]
    assert not works(door.small, copied)


def test_a_consent_that_another_connection_lives_by_is_not_taken_back(door_on_sqlite: FrontDoor) -> None:
    door = door_on_sqlite
    first, *others = [account.username for account in door.small.world.accounts]
    door.connect(EMAIL, "agency")
    copied = door.small.simulator.simulation.book.initial("facebook", door.small.world.agency.id)
    (told,) = ended(door, "/v1/connections/instagram", account=first)
    assert told["at_meta"] == "still_in_use"
    assert works(door.small, copied)
    assert {told["at_meta"] for told in ended(door, "/v1/connections/instagram")} <= {"revoked", "not_valid_anyway"}
    assert others
    assert not works(door.small, copied)


def test_two_people_on_one_address_do_not_keep_each_others_tokens(door_on_sqlite: FrontDoor) -> None:
    door = door_on_sqlite
    ana, ben = [account.username for account in door.small.world.accounts if not account.owned_by_business][:2]
    door.connect(EMAIL, ana)
    door.connect(EMAIL, ben)
    (told,) = ended(door, "/v1/connections/instagram", account=ana)
    assert told["at_meta"] == "revoked"
    assert works(door.small, door.small.simulator.token(ben))


def test_with_instagram_login_the_owner_is_told_what_to_do(small_on_sqlite: SmallWorld) -> None:
    login: Login = "instagram"
    with front_door(small_on_sqlite, login=login) as door:
        who = small_on_sqlite.world.accounts[0].username
        door.connect(EMAIL, who)
        (told,) = ended(door, "/v1/connections/instagram")
    assert told["at_meta"] == "not_possible"
    assert "Apps and websites" in told["detail"]


@pytest.mark.parametrize("kind", ["unavailable", "html", "reset"])
def test_when_meta_does_not_do_it_the_token_is_gone_from_here_all_the_same(
    door_on_sqlite: FrontDoor, kind: Any
) -> None:
    door = door_on_sqlite
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    plan = FaultPlan(faults=(FaultRule(kinds=(kind,), endpoint="permissions"),))
    door.small.simulator.simulation.faults = Faults(plan)
    (told,) = ended(door, "/v1/connections/instagram")
    assert told["at_meta"] == "failed"
    assert "Business Integrations" in told["detail"]
    (state,) = door.status(EMAIL)
    assert (state["status"], state["expiry"]) == ("disconnected", None)
    assert works(door.small, door.small.simulator.token(who))


def test_one_that_was_dead_already_is_said_so(door_on_sqlite: FrontDoor) -> None:
    door = door_on_sqlite
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    httpx.post(f"{door.small.simulator.url}/_simulator/tokens/{who}/revoke").raise_for_status()
    (told,) = ended(door, "/v1/connections/instagram")
    assert told["at_meta"] == "not_valid_anyway"
    assert ended(door, "/v1/connections/instagram") == [], "no token is left to end"


def test_where_the_person_is_not_known_the_address_tells(door_on_sqlite: FrontDoor) -> None:
    """Stored by a release before, or from a pasted token without the app."""
    door = door_on_sqlite
    ana, ben = [account.username for account in door.small.world.accounts if not account.owned_by_business][:2]
    door.connect(EMAIL, ana)
    door.connect(EMAIL, ben)
    with door.small.engine.begin() as db:
        db.execute(tables.meta_people.delete())
    (told,) = ended(door, "/v1/connections/instagram", account=ana)
    assert (told["at_meta"], ben in told["detail"]) == ("still_in_use", True)
    assert works(door.small, door.small.simulator.token(ben))
