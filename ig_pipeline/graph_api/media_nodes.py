"""A post, a story or an album's child as the API describes it: typed, with what is missing and why.

Parsing only. Fields that the API leaves out by rule are None and named in `absences`; so are fields with a value of a
shape nobody documented, which cost themselves and not the post.
"""

from datetime import date, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.days import instagram_day, of_a_real_year
from ig_pipeline.graph_api.errors import MalformedAnswerError
from ig_pipeline.graph_api.insight_values import BEYOND_ALL, Number, read_media_insights
from ig_pipeline.graph_api.texts import Name, Permalink, Text

M = TypeVar("M", bound="MediaNode")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Ids become parts of paths, of addresses and of file names.
NodeId = Annotated[str, Field(pattern=r"^[0-9]{1,30}(_[0-9]{1,30})?$"), BeforeValidator(_as_text)]


Instant = Annotated[datetime, AfterValidator(of_a_real_year)]
Count = Annotated[int, Field(gt=-BEYOND_ALL, lt=BEYOND_ALL)]


class MediaChild(BaseModel):
    """One picture or video of an album. It has no caption, likes or insights of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: NodeId
    media_type: Name | None = None
    media_url: Text | None = None
    thumbnail_url: Text | None = None
    permalink: Permalink = None
    timestamp: Instant | None = None


class MediaNode(MediaChild):
    """Whatever of a post was asked for. `insights` by metric, lifetime values; None: not expanded."""

    caption: Text | None = None
    media_product_type: Name | None = None
    shortcode: Name | None = None
    username: Name | None = None
    like_count: Count | None = None
    comments_count: Count | None = None
    children: tuple[MediaChild, ...] = ()
    insights: dict[str, Number] | None = None
    absences: dict[str, Absence] = Field(default_factory=dict)


class Media(MediaNode):
    """A post of a listing. `timestamp` (UTC) is when it was posted."""

    timestamp: Instant

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
    """A media object with any of its fields. Raises `MalformedAnswerError` without a usable id."""
    return _validated(MediaNode, row)


def read_media(row: Json) -> Media:
    """A post read with the fields of a listing; names what the API withheld or what cannot be read.

    Raises `MalformedAnswerError` without a usable id or time.
    """
    media = _validated(Media, row)
    absences = dict(media.absences)
    if media.like_count is None:
        absences.setdefault("like_count", Absence("hidden_by_owner", "The owner hides the likes of this post."))
    if media.media_url is None and not media.children:
        withheld = Absence("withheld", "Instagram withholds the file of flagged or copyrighted media.")
        absences.setdefault("media_url", withheld)
    return media.model_copy(update={"absences": absences})


def _validated(model: type[M], row: Json) -> M:
    """`row` as a `model`, without the fields that cannot be read; those are named in `absences`."""
    prepared, unreadable = _prepared(row)
    try:
        return model.model_validate({**prepared, "absences": unreadable})
    except ValidationError as error:
        wrong = {str(item["loc"][0]) for item in error.errors(include_input=False)}
    unreadable |= {name: _unreadable(name) for name in sorted(wrong)}
    try:
        kept = {name: value for name, value in prepared.items() if name not in wrong}
        return model.model_validate({**kept, "absences": unreadable})
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors(include_input=False)}))
        raise MalformedAnswerError(f"A media object has an unexpected value in: {fields}.") from None


def _prepared(row: Json) -> tuple[dict[str, Any], dict[str, Absence]]:
    """The fields of `row` as the models take them, and which of them cannot be read."""
    prepared: dict[str, Any] = {name: value for name, value in row.items() if name != "absences"}
    unreadable: dict[str, Absence] = {}
    if "children" in row:
        prepared["children"], whole = _children(row["children"])
        if not whole and (row["children"] is not None or row.get("media_type") == "CAROUSEL_ALBUM"):
            unreadable["children"] = _unreadable("children")
    if "insights" in row:
        try:
            prepared["insights"] = read_media_insights(row["insights"] if isinstance(row["insights"], dict) else {})
        except MalformedAnswerError:
            prepared["insights"] = {}  # left out, as far as the caller can tell: it asks again
    return prepared, unreadable


def _children(edge: object) -> tuple[list[MediaChild], bool]:
    """The children that can be read, and whether those are all."""
    rows = edge.get("data") if isinstance(edge, dict) else None
    if not isinstance(rows, list):
        return [], False
    children = []
    for row in rows:
        try:
            children.append(MediaChild.model_validate(row))
        except ValidationError:
            continue
    return children, len(children) == len(rows)


def _unreadable(name: str) -> Absence:
    return Absence("unreadable", f"Instagram sent {name} in a form that cannot be read.")
