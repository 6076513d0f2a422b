"""Addresses of media files: signed, different at each read, and dead after some hours (facts §2.1).

Only the addresses; serving the files is `cdn`'s part.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from ig_pipeline.simulator.chance import between, fraction, opaque

CDN_PREFIX = "/_cdn"
# Recorded lifetimes (facts §2.1): pictures 104-108 h, videos 32-108 h.
_PICTURE_HOURS = (104.0, 108.0)
_VIDEO_HOURS = (32.0, 108.0)


def file_url(base_url: str, object_id: str, *, video: bool, now: datetime, thumbnail: bool = False) -> str:
    """An address of the file of a post, child or story, good for hours after `now` (to the minute).

    The path holds the object's id and what is asked for: `…/{id}_v.mp4`, `…/{id}_n.jpg`, `…/{id}_t.jpg`.
    """
    minute = now.replace(second=0, microsecond=0)
    hours = between(*(_VIDEO_HOURS if video and not thumbnail else _PICTURE_HOURS), object_id, "life")
    path, kind = ("/o1/v/t16/f2/m84", "v.mp4") if video and not thumbnail else ("/v/t51.82787-15", "n.jpg")
    expires = int((minute + timedelta(hours=hours)).timestamp())
    query = {
        "_nc_cat": str(100 + int(11 * fraction(object_id, "cat"))),
        "ccb": "7-5",
        "_nc_ohc": opaque(24, object_id, minute, "ohc"),
        "oh": signature(object_id, expires),
        "oe": f"{expires:X}",
    }
    name = f"{object_id}_{'t.jpg' if thumbnail else kind}"
    return f"{base_url}{CDN_PREFIX}{path}/{name}?{urlencode(query)}"


def signature(object_id: str, expires: int) -> str:
    """What `oh` must be for an object and an expiry (Unix seconds)."""
    return "00_" + opaque(40, object_id, expires, "signature")


def is_alive(object_id: str, query: dict[str, str], now: datetime) -> bool:
    """Whether the address with this query is signed by us and not yet expired; else it answers 403 (facts §2.1)."""
    try:
        expires = int(query.get("oe", ""), 16)
    except ValueError:
        return False
    return query.get("oh") == signature(object_id, expires) and now < datetime.fromtimestamp(expires, UTC)
