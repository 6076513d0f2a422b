"""Followers and posts as the profile counts them: what confirms or contradicts a silence elsewhere.

Asked for once per client and account, and only when an answer leaves something open.
"""

from ig_pipeline.graph_api.account_memory import AccountFacts
from ig_pipeline.graph_api.accounts import read_profile_fields
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient


async def read_facts(client: GraphClient, credentials: Credentials, *, meter: CallMeter | None = None) -> AccountFacts:
    """The account's numbers: one call the first time, none after it. Raises `GraphError`."""

    async def ask() -> AccountFacts:
        return await client.fetch(
            credentials.account_id,
            {"fields": "id,followers_count,media_count"},
            credentials=credentials,
            parse=_read,
            meter=meter,
        )

    return await client.memory_of(credentials.account_id).facts(ask)


def _read(row: Json) -> AccountFacts:
    profile = read_profile_fields(row)
    return AccountFacts(profile.followers_count, profile.media_count)
