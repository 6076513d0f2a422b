"""Names of files in the library, from nothing but an id of digits, an instant and the sniffed type.

Captions, usernames and URLs never get here: what a stranger wrote must not steer a path.
"""

import re
from datetime import UTC, datetime

from ig_pipeline.media_store.errors import UnsafeNameError

FOLDER = "instagram_backfill"

# Graph ids are digits; story and legacy ids may join two by an underscore. 64 leaves names far below the 255 bytes of
# every file system.
_MEDIA_ID = re.compile(r"[0-9]+(?:_[0-9]+)*")
_LONGEST_ID = 64
_FILE_NAME = re.compile(rf"(?P<at>[0-9]{{8}}_[0-9]{{6}})_(?P<id>{_MEDIA_ID.pattern})\.[a-z0-9]+")
_KEY = re.compile(r"[a-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
_LONGEST_KEY = 512


def check_media_id(media_id: str) -> str:
    """`media_id` if it is one of Instagram's; raises `UnsafeNameError` otherwise."""
    if len(media_id) <= _LONGEST_ID and media_id.isascii() and _MEDIA_ID.fullmatch(media_id):
        return media_id
    shown = media_id[:40]
    raise UnsafeNameError(f"The API named a post {shown!r}, which is no media id: not downloaded.", media_id=shown)


def file_stem(media_id: str, posted_at: datetime) -> str:
    """`YYYYMMDD_HHMMSS_{media id}`, the instant in UTC. Raises `UnsafeNameError`."""
    return f"{posted_at.astimezone(UTC):%Y%m%d_%H%M%S}_{check_media_id(media_id)}"


def library_folder(u_id: int, account_id: str) -> str:
    """The folder of one account's files. Users share none, so that one can be deleted without asking the others.

    Raises `UnsafeNameError`.
    """
    return f"{FOLDER}/{u_id:d}/{check_media_id(account_id)}"


def parse_file_name(name: str) -> tuple[str, datetime] | None:
    """Media id and instant (UTC) back from a name that `file_stem` made, None for another one."""
    found = _FILE_NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return found["id"], datetime.strptime(found["at"], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def check_key(key: str) -> str:
    """`key` if it is a relative path of plain names; raises `UnsafeNameError` otherwise.

    The last gate before a file system or a bucket: whatever went wrong above, `..`, `/x`, NUL and separators end here.
    """
    if len(key) <= _LONGEST_KEY and key.isascii() and ".." not in key and _KEY.fullmatch(key):
        return key
    raise UnsafeNameError(f"{key[:80]!r} is not a name inside the library.")
