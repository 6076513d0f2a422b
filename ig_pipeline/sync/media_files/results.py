"""What a backfill of media files is asked for and what it says: per file, per backfill.

Dagster's cells, the command line's table and the stored runs are made from these. No database, no HTTP here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, get_args

from ig_pipeline.sync.media_files.wanted import WantedFile

MediaTypes = Literal["feed", "stories", "both"]
Outcome = Literal["downloaded", "same_bytes", "skipped_duplicate", "skipped_unsupported", "failed", "would_download"]
Status = Literal["complete", "partial", "failed", "deferred"]

# Kept of a run's errors; the number of all of them stands beside.
MOST_ERRORS = 20

STORIES_NOTE = "Stories older than 24 hours cannot be had from the API; those alive now are fetched."


@dataclass(frozen=True)
class BackfillOptions:
    """What to fetch. `limit`: new files at most. `since`, `until`: Pacific days of the posts, both included.

    `dry_run`: read and count; nothing is downloaded, nothing written.
    """

    media_types: MediaTypes = "both"
    limit: int | None = None
    since: date | None = None
    until: date | None = None
    dry_run: bool = False

    @property
    def feed(self) -> bool:
        """Whether posts are wanted."""
        return self.media_types != "stories"

    @property
    def stories(self) -> bool:
        """Whether live stories are wanted."""
        return self.media_types != "feed"

    @property
    def whole(self) -> bool:
        """Whether every day of its range is meant to be settled."""
        return self.feed and self.limit is None and not self.dry_run

    @property
    def flags(self) -> dict[str, Any]:
        """Plain values for a request, under the names of the command line's flags; `from_flags` reads them."""
        since = self.since.isoformat() if self.since else None
        return {"media_type": self.media_types, "limit": self.limit, "since": since, "dry_run": self.dry_run}

    @classmethod
    def from_flags(cls, flags: Any) -> "BackfillOptions":  # noqa: ANN401 - it came as JSON
        """What `flags` ask for; those that are left out have the command line's defaults. Raises `ValueError`."""
        if not isinstance(flags, dict):
            raise ValueError("flags are an object of names and values")  # noqa: TRY004
        if unknown := set(flags) - set(cls().flags):
            raise ValueError(f"there is no flag {', '.join(sorted(unknown))}")
        given = {**cls().flags, **flags}
        media_type, limit, since, dry_run = given["media_type"], given["limit"], given["since"], given["dry_run"]
        if media_type not in get_args(MediaTypes):
            raise ValueError(f"media_type is one of {', '.join(get_args(MediaTypes))}")
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError("limit is a number of files, at least 1")
        if since is not None and not isinstance(since, str):
            raise ValueError("since is a day, YYYY-MM-DD")
        if type(dry_run) is not bool:
            raise ValueError("dry_run is true or false")
        return cls(media_type, limit, date.fromisoformat(since) if since else None, None, dry_run)

    def left_after(self, results: "Sequence[BackfillResult]") -> "BackfillOptions | None":
        """The same with what is left of the limit, which counts over all `results`; None when nothing is.

        Nothing is left either once an account is deferred: what continues it takes the rest.
        """
        if self.limit is None:
            return self
        left = self.limit - sum(result.tally.taken for result in results)
        if left <= 0 or any(result.status == "deferred" for result in results):
            return None
        return replace(self, limit=left)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {**asdict(self), "since": self.since, "until": self.until}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in plain.items()}


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    `downloaded`: stored and indexed; `same_bytes`: indexed, the bytes were there already; `skipped_duplicate`: the
    library has this media id; `skipped_unsupported`: nothing to fetch, `detail` says why.
    """

    file: WantedFile
    outcome: Outcome
    size: int = 0
    """Bytes of the file, when it was downloaded."""
    detail: str | None = None
    failure: "Failure | None" = None


@dataclass(frozen=True)
class Failure:
    """Why a file could not be had: the name of the error's class, and whether a later attempt may have it."""

    error_type: str
    is_retryable: bool


@dataclass
class Tally:
    """Counts of a backfill, or of a day of it."""

    items: int = 0
    """Posts and stories that the API listed."""
    files: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    errors: list[str] = field(default_factory=list)
    failures: set[Failure] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: FileResult) -> None:
        """Count one file."""
        self.files[result.outcome] += 1
        self.bytes += result.size
        if result.failure is not None:
            self.failures.add(result.failure)
        if result.outcome == "failed" and len(self.errors) < MOST_ERRORS:
            self.errors.append(f"{result.file.media_id[:40]}: {result.detail}")
        if result.outcome == "skipped_unsupported" and result.detail:
            self.reasons[result.detail] += 1

    @property
    def new(self) -> int:
        """Files the library gained: rows."""
        return self.files["downloaded"] + self.files["same_bytes"]

    @property
    def taken(self) -> int:
        """Files that a limit counts."""
        return self.new + self.files["failed"] + self.files["would_download"]

    def as_dict(self) -> dict[str, int]:
        """Plain numbers for JSON and metadata."""
        return {
            "downloaded": self.new,
            "same_bytes": self.files["same_bytes"],
            "skipped_duplicate": self.files["skipped_duplicate"],
            "skipped_unsupported": self.files["skipped_unsupported"],
            "failed": self.files["failed"],
            "would_download": self.files["would_download"],
            "total_items": self.items,
            "bytes": self.bytes,
        }


class Watcher:
    """Sees a backfill while it goes on, and counts; those that show progress inherit from it."""

    def __init__(self) -> None:
        self.tally = Tally()

    def listed(self, files: list[WantedFile]) -> None:
        """A post or story was listed, with these files."""
        self.tally.items += 1

    def received(self, count: int) -> None:
        """Bytes came; negative when a download begins again. They count when their file is done."""

    def finished(self, result: FileResult) -> None:
        """A file is done; if it is new, its row is committed."""
        self.tally.add(result)

    def listing_ended(self) -> None:
        """All that was asked for is listed. Not called when an error or a limit ended the listing early."""


@dataclass(frozen=True)
class BackfillResult:
    """One account's backfill. `error`: why it ended early, a sentence for people; None when it came to its end.

    `complete`: everything asked for is in the library. `partial`: something could not be had, or it ended early with
    something done. `failed`: it ended early with nothing done. `deferred`: a rate limit; again after `retry_at`.
    """

    account_key: str
    status: Status
    tally: Tally
    calls: int
    seconds: float
    error: str | None = None
    error_type: str | None = None
    retry_at: datetime | None = None
    continued: bool = False
    """Whether a request goes on with it after `retry_at`."""

    @property
    def sentence(self) -> str | None:
        """Why not everything asked for was had, for people; None when it was."""
        if self.error is not None or not (failed := self.tally.files["failed"]):
            return self.error
        return f"{failed} files could not be fetched: {'; '.join(self.tally.errors[:3])}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "account": self.account_key,
            "status": self.status,
            **self.tally.as_dict(),
            "calls": self.calls,
            "seconds": round(self.seconds, 2),
            "error": self.error,
            "retry_at": self.retry_at.isoformat() if self.retry_at else None,
            "errors": self.tally.errors,
            "unsupported": dict(self.tally.reasons),
        }
