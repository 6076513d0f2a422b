"""Stores what a consent opens: connections, who gave them, and the history they are to get.

The second half of connecting for the web service and the command line alike; Meta is asked in `graph_api.consent`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ig_pipeline.graph_api.accounts import FoundAccount
from ig_pipeline.graph_api.consent import Consent
from ig_pipeline.settings import Settings
from ig_pipeline.storage import deletion_requests, meta_people
from ig_pipeline.storage.connections import Connection, list_connections
from ig_pipeline.sync.requests.asking import ask_for_history
from ig_pipeline.vault.token_vault import TokenVault


class BeingErasedError(Exception):
    """The account is being erased: connected now, it would be erased as well."""

    def __init__(self, username: str) -> None:
        super().__init__(f"{username} is being deleted. Connect it again when the deletion is done.")


@dataclass(frozen=True)
class Connected:
    """A stored connection, and whether its first backfill is on its way."""

    connection: Connection
    backfill_started: bool


def connect_accounts(
    db: sa.Connection,
    vault: TokenVault,
    consent: Consent,
    accounts: Sequence[FoundAccount],
    *,
    email: str,
    settings: Settings,
    now: datetime,
) -> list[Connected]:
    """Connect `accounts` of a consent for `email`, or connect them again, in the caller's transaction.

    Whoever consented is stored with each, so that Meta's callbacks find it. Raises `BeingErasedError`.
    """
    before = {connection.account_id: connection for connection in list_connections(db, email=email)}
    leaving = {target.connection_id for request in deletion_requests.waiting(db) for target in request.targets}
    for account in accounts:
        if account.account_id in before and before[account.account_id].id in leaving:
            raise BeingErasedError(account.username)
    return [
        _connect(db, vault, consent, account, before.get(account.account_id), email=email, settings=settings, now=now)
        for account in accounts
    ]


def _connect(
    db: sa.Connection,
    vault: TokenVault,
    consent: Consent,
    account: FoundAccount,
    before: Connection | None,
    *,
    email: str,
    settings: Settings,
    now: datetime,
) -> Connected:
    connection = vault.store(
        db,
        email=email,
        login=consent.login,
        account_id=account.account_id,
        username=account.username,
        token=consent.token,
        expires_at=consent.expires_at,
        scopes=",".join(consent.scopes),
        expiry=consent.expiry,
        data_access_expires_at=consent.data_access_expires_at,
    )
    meta_people.remember(db, connection.id, consent.person_ids)
    return Connected(connection, ask_for_history(db, connection, before=before, settings=settings, now=now))
