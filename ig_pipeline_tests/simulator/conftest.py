"""A simulator on a real socket, and a way to ask it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.server import RunningSimulator, running_simulator
from ig_pipeline.simulator.tokens import Login
from ig_pipeline.simulator.world import World

NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Asker:
    """Asks as the owner of an account would."""

    sim: RunningSimulator
    http: httpx.Client

    def account(self, username: str = "acme.studio") -> Account:
        return self.sim.world.account(username)

    def get(self, path: str, username: str = "acme.studio", login: str = "facebook", **params: Any) -> httpx.Response:
        token = self.sim.token(username, cast(Login, login))
        return self.http.get(
            f"{self.sim.url}/v25.0/{path}", params=params, headers={"Authorization": f"Bearer {token}"}
        )

    def insights(self, username: str = "acme.studio", login: str = "facebook", **params: Any) -> httpx.Response:
        return self.get(f"{self.account(username).id}/insights", username, login, **params)

    def error(self, response: httpx.Response) -> dict[str, Any]:
        assert response.status_code >= 400, response.text
        found: dict[str, Any] = response.json()["error"]
        return found

    def control(self, method: str, path: str, **params: Any) -> Any:
        response = self.http.request(method, f"{self.sim.url}/_simulator/{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
def ask() -> Iterator[Asker]:
    """Eight accounts, one of each kind, at a fixed clock."""
    with running_simulator(World(accounts=8), clock=lambda: NOW) as sim, httpx.Client(timeout=10) as http:
        yield Asker(sim, http)
