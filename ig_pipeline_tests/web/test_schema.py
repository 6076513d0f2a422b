"""schemathesis over both documents: no 5xx, no status and no shape the document does not name; on both databases."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ig_pipeline.storage import tables
from ig_pipeline.web.app import create_app
from ig_pipeline_tests.web.front_door import ADMIN, FrontDoor

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ORDERING_WORK = ("/v1/sync/run", "/v1/media/backfill")
# The short form: enough to meet every branch of validation.
SHORT = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def documents(door: FrontDoor) -> dict[str, Any]:
    door.connect("a@b.example", door.small.world.accounts[0].username)
    return full_document(create_app(door.settings, clock=door.small.clock))


def full_document(app: FastAPI) -> dict[str, Any]:
    """The document with the hidden endpoints too."""
    hidden = [route for route in app.state.api_routes if not route.include_in_schema]
    for route in hidden:
        route.include_in_schema = True
    try:
        return app.openapi()
    finally:
        for route in hidden:
            route.include_in_schema = False


def test_the_service_keeps_what_its_documents_promise(door: FrontDoor, documents: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(documents)
    schema.config.base_url = door.settings.effective_public_url
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]  # raises
    assert {operation.path for operation in operations} >= {"/v1/sync/run", "/v1/connections/status"}
    flags = {parameter["name"] for parameter in documents["paths"]["/v1/media/backfill"]["post"]["parameters"]}
    assert flags >= {"email", "account", "account_id", "limit", "media_type", "since", "dry_run"}
    # Those first: hypothesis reads this file, finds the address in it, and deletes its owner.
    for operation in operations:
        if operation.path in ORDERING_WORK:
            _ask(operation)
    assert {row["kind"] for row in door.small.rows(tables.sync_requests)} == {"insights", "media_files"}
    for operation in operations:
        if operation.path not in ORDERING_WORK:
            _ask(operation)


def _ask(operation: Any) -> None:
    """Valid and invalid requests, and what came back held against the document."""

    def ask(case: Any) -> None:
        # Where a redirect leads is Meta's: what it answers is not ours to promise.
        answer = case.call(headers=ADMIN, allow_redirects=False)
        case.validate_response(answer, checks=CHECKS)

    def ask_for_work(case: Any) -> None:
        # Nobody would guess the address of somebody who is connected.
        case.query = {name: value for name, value in (case.query or {}).items() if "account" not in name}
        case.query["email"] = "a@b.example"
        ask(case)

    valid, invalid = (
        operation.as_strategy(generation_mode=mode)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    )
    SHORT(given(case=strategies.one_of(valid, invalid))(ask))()
    if operation.path in ORDERING_WORK:
        SHORT(given(case=valid)(ask_for_work))()


def test_the_public_document_hides_the_admins_endpoints(door_on_sqlite: FrontDoor) -> None:
    document = door_on_sqlite.client.get("/openapi.json").json()
    assert "/v1/sync/run" not in document["paths"]
    assert not [path for path in document["paths"] if path.startswith("/accounts")]
    assert {"/v1/connections/instagram/start", "/v1/metrics/timeline/month"} <= set(document["paths"])
