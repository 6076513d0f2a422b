"""Answers and parameters of the HTTP interface, as the OpenAPI document shows them. Shapes only.

Days are Instagram's: midnight to midnight in America/Los_Angeles. Instants are UTC with their zone.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Form, Query
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from ig_pipeline.email_addresses import LONGEST, PATTERN, normalized
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.overview import BackfillState
from ig_pipeline.sync.judgement import State
from ig_pipeline.token_ends import Expiry
from ig_pipeline.vault.revoking import AtMeta, TokenEnded

_Address = Annotated[
    str,
    StringConstraints(pattern=PATTERN, max_length=LONGEST, strip_whitespace=True, to_lower=True),
    AfterValidator(normalized),
]
Email = Annotated[
    _Address,
    Query(description="Whose connections; the address the app knows its user by.", examples=["a@b.example"]),
]
FormEmail = Annotated[_Address, Form(description="The address a person has read or written on a page of ours.")]
Days = Annotated[int, Query(ge=1, le=366, description="How many days, up to yesterday.")]
Provider = Annotated[Literal["instagram"], Query(description="Only Instagram so far.")]

ConnectionStatus = Literal["connected", "reconnect_required", "disconnected"]


class Connected(BaseModel):
    """Consent was given and stored."""

    connected: bool
    provider: str
    backfill_started: bool = Field(description="False when there is history of the account already.")


class BackfillProgress(BaseModel):
    """How far the first backfill of a connection is."""

    state: BackfillState
    days_done: int
    days_total: int
    days_failed: int
    next_try_at: dt.datetime | None = Field(description="When failed days are tried again by themselves.")


class ConnectionState(BaseModel):
    """One connection."""

    provider: str
    username: str
    account: str = Field(description="The connection's name in the grid and on the command line.")
    expires_at: dt.datetime | None = Field(description="When the token ends unless renewed, which happens by itself.")
    expiry: Expiry | None = Field(
        description="How that is known: stated by Meta, assumed because Meta did not say, or it never ends. "
        "Null without a token."
    )
    data_access_expires_at: dt.datetime | None = Field(
        description="Until when Meta lets the app read: 90 days after its owner last used it. Null where not told. "
        "Renewing the token does not move it, connecting again does."
    )
    connected_at: dt.datetime
    status: ConnectionStatus
    state: State = Field(
        description="fine; waiting (it continues by itself); owner or operator: who must act; disconnected."
    )
    note: str | None = Field(description="What its owner should know though there is nothing to do; null when fine.")
    action: str | None = Field(
        description="What its owner has to do, from 14 days before reading ends on; null when nothing."
    )
    reconnect_url: str | None = Field(description="Where the owner does it.")
    last_synced_day: dt.date | None
    backfill: BackfillProgress


class ConnectionList(BaseModel):
    """All connections of one user."""

    email: str
    connections: list[ConnectionState]


class Day(BaseModel):
    """One Instagram day; null where a number is not there yet."""

    date: dt.date
    reach: int | None
    engagement: int | None


class AccountTimeline(BaseModel):
    """One account's days."""

    account: str
    username: str
    timeline: list[Day]


class Timeline(BaseModel):
    """A row a day, oldest first, for each account and in total."""

    email: str
    provider: str
    timezone: str
    first: dt.date
    last: dt.date
    timeline: list[Day] = Field(
        description="All accounts added up. Reach counts people: somebody who saw two accounts counts twice."
    )
    accounts: list[AccountTimeline]


class TokenAtMeta(BaseModel):
    """What became at Meta of a token that was destroyed here."""

    account: str
    at_meta: AtMeta = Field(
        description="revoked; not_valid_anyway; still_in_use by another connection of the same person; not_possible "
        "with Instagram Login; failed."
    )
    detail: str = Field(description="The same as a sentence, with what its owner can do.")


class Disconnected(BaseModel):
    """The tokens are destroyed and syncing has stopped; the history stays."""

    disconnected: list[str] = Field(description="Names of the connections.")
    tokens: list[TokenAtMeta] = Field(description="The tokens that were destroyed.")


class DeletionState(BaseModel):
    """A deletion and how far it is. Nothing in it names anybody."""

    confirmation_code: str
    status: Literal["requested", "done"]
    requested_at: dt.datetime
    completed_at: dt.datetime | None
    url: str
    tokens: list[TokenAtMeta] = Field(
        default=[], description="The tokens that were destroyed; told once, to who asked for the deletion."
    )


class MetaDeletionAnswer(BaseModel):
    """What Meta wants to hear of a deletion callback."""

    url: str
    confirmation_code: str


class Health(BaseModel):
    """What was looked at and how it is."""

    status: Literal["ok", "failing"]
    checks: dict[str, str]


class SyncRequestState(BaseModel):
    """A request for work and what became of it."""

    id: int
    kind: str
    account: str
    first: dt.date = Field(description="First day of the grid that it may fill.")
    last: dt.date
    options: dict[str, Any] = Field(description="The flags it was asked for with, besides account and days.")
    status: Literal["queued", "launched", "done", "failed"]
    detail: str | None = Field(description="What is left to do, or why it failed.")
    counts: dict[str, int] | None = Field(
        description="What a backfill of media files came to, as `ig-pipeline backfill-instagram --json` names it."
    )
    run_id: str | None
    url: str


class SyncRequested(BaseModel):
    """Requests, one per account, and where to follow each."""

    requests: list[SyncRequestState]


def tokens_at_meta(ended: Sequence[TokenEnded]) -> list[TokenAtMeta]:
    """As the document promises it."""
    return [TokenAtMeta(account=one.account_key, at_meta=one.at_meta, detail=one.sentence) for one in ended]


def is_known_status(connection: Connection) -> ConnectionStatus:
    """The connection's status as the document promises it. Raises `ValueError` for one nobody knows."""
    for known in ("connected", "reconnect_required", "disconnected"):
        if connection.status == known:
            return known
    raise ValueError(f"{connection.account_key} has a status nobody knows: {connection.status}")
