"""From an HTTP response to the JSON object in it, or to the error it means.

Checks only that it is a whole Graph answer; what has to be inside is the business of the parser of each call.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ig_pipeline.bounded_answers import Received, parse_json
from ig_pipeline.graph_api.classify import classify
from ig_pipeline.graph_api.errors import MalformedAnswerError, Origin

Json = Mapping[str, Any]


def read_answer(received: Received, *, now: datetime, account_id: str = "") -> Json:
    """The object of a good answer. Raises the `GraphError` of a refusal, `MalformedAnswerError` for anything else.

    `account_id`: the account the call was about, "" before one is known. Integers of any size stay exact: ids are
    beyond 2^53 (docs/graph_api.md#instagram-login).
    """
    body = _parsed(received.body)
    if received.status == 200 and isinstance(body, dict) and not _is_refusal(body):
        return body
    raise classify(received.status, received.headers, body, now=now, account_id=account_id)


def rows_of(answer: Json) -> list[Json]:
    """The rows of `data`; one that is no object is an empty one, so that it costs itself and not its neighbours.

    Raises `MalformedAnswerError` when there is no such list.
    """
    data = answer.get("data")
    if not isinstance(data, list):
        raise MalformedAnswerError("The answer has no list of data.", origin=Origin(status=200))
    return [row if isinstance(row, dict) else {} for row in data]


def _is_refusal(body: Json) -> bool:
    return "error" in body or "error_message" in body


def _parsed(body: bytes) -> object:
    try:
        return parse_json(body)
    except ValueError:  # half a body, HTML, nothing, not even UTF-8, or beyond all bounds
        return None
