"""`stories`: one row a story with the numbers of the last time it was seen alive."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import STORY_METRICS
from ig_pipeline.storage.tables import stories
from ig_pipeline.storage.upsert import Written, kept_if_missing, upsert

KEY = ("u_id", "account_id", "media_id")


def save_stories(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write stories as they are now; one that has expired, or whose numbers an answer lacks, keeps its last ones."""
    return upsert(db, stories, rows, key=KEY, merged=kept_if_missing(stories, STORY_METRICS))
