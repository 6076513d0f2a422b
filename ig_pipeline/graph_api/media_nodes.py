"""A post, a story or an album's child as the API describes it: typed, with what is missing and why.

Parsing only. Fields that the API leaves out by rule are None and named in `absences` (facts §2.1).
"""

from datetime import date, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.graph_api.errors import MalformedAnswerError
from ig_pipeline.graph_api.insight_values import Number, read_media_insights
from ig_pipeline.graph_api.texts import Name, Permalink, Text

M = TypeVar("M", bound="MediaNode")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Ids become parts of paths, of addresses and of file names.
NodeId = Annotated[str, Field(pattern=r"^[0-9]{1,30}(_[0-9]{1,30})?$"), BeforeValidator(_as_text)]


class MediaChild(BaseModel):
    """One picture or video of an album. It has no caption, likes or insights of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: NodeId
    media_type: Name | None = None
    media_url: Text | None = None
    thumbnail_url: Text | None = None
    permalink: Permalink = None
    timestamp: datetime | None = None


class MediaNode(MediaChild):
    """Whatever of a post was asked for. `insights` by metric, lifetime values; None: not expanded."""

    caption: Text | None = None
    media_product_type: Name | None = None
    shortcode: Name | None = None
    username: Name | None = None
    like_count: int | None = None
    comments_count: int | None = None
    children: tuple[MediaChild, ...] = ()
    insights: dict[str, Number] | None = None
    absences: dict[str, Absence] = Field(default_factory=dict)


class Media(MediaNode):
    """A post of a listing. `timestamp` (UTC) is when it was posted."""

    timestamp: datetime

    @property
    def day(self) -> date:
        """The Pacific day it was posted on."""
        return instagram_day(self.timestamp)

    @property
    def engagement(self) -> int:
        """Likes + comments + saves, what is absent counting as nothing."""
        saved = (self.insights or {}).get("saved", 0)
        return (self.like_count or 0) + (self.comments_count or 0) + int(saved)


def read_node(row: Json) -> MediaNode:
    """A media object with any of its fields. Raises `MalformedAnswerError`."""
    return _validated(MediaNode, row)


def read_media(row: Json) -> Media:
    """A post read with the fields of a listing; names what the API withheld. Raises `MalformedAnswerError`."""
    media = _validated(Media, row)
    absences = {}
    if media.like_count is None:
        absences["like_count"] = Absence("hidden_by_owner", "The owner hides the likes of this post.")
    if media.media_url is None and not media.children:
        absences["media_url"] = Absence("withheld", "Instagram withholds the file of flagged or copyrighted media.")
    return media.model_copy(update={"absences": absences})


def _validated(model: type[M], row: Json) -> M:
    prepared: dict[str, Any] = {**row}
    if "children" in row:
        prepared["children"] = _rows(row["children"])
    if "insights" in row:
        prepared["insights"] = read_media_insights(row["insights"] if isinstance(row["insights"], dict) else {})
    try:
        return model.model_validate(prepared)
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors(include_input=False)}))
        raise MalformedAnswerError(f"A media object has an unexpected value in: {fields}.") from None


def _rows(edge: object) -> list[object]:
    rows = edge.get("data") if isinstance(edge, dict) else None
    if not isinstance(rows, list):
        raise MalformedAnswerError("The children of a media object are no list.")
    return rows
