"""Names that nobody outside can steer, and types that only the bytes decide."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ig_pipeline.media_store.checking import Measures, check_file
from ig_pipeline.media_store.errors import NotMediaError, UnsafeNameError
from ig_pipeline.media_store.naming import check_key, file_stem, library_folder, parse_file_name
from ig_pipeline.media_store.sniffing import GIF, JPEG, MOV, MP4, PNG, WEBP, FileType, sniff
from ig_pipeline.simulator.cdn_files import CdnFile, length_of, pieces, sha256_of

HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "17\x00", "17/18", "17\\18", "1" * 5_000, "17\n", "17 ",
    "\uff11\uff17", "17.jpg", "%2e%2e%2f", "17;rm", "-rf", "17_", "_17", "17__18", "NUL", "\u202e71", "17\u0000.jpg",
]  # fmt: skip


@pytest.mark.parametrize("media_id", HOSTILE)
def test_a_hostile_id_never_becomes_a_name(media_id: str) -> None:
    with pytest.raises(UnsafeNameError) as caught:
        file_stem(media_id, datetime(2026, 1, 2, tzinfo=UTC))
    assert len(str(caught.value)) < 300


def test_a_name_is_the_instant_in_utc_and_the_id() -> None:
    posted = datetime(2026, 1, 1, 20, 30, 5, tzinfo=timezone(timedelta(hours=-8)))
    assert file_stem("17900000000000001_2", posted) == "20260102_043005_17900000000000001_2"
    assert library_folder(7, "178") == "instagram_backfill/7/178"
    assert check_key("instagram_backfill/7/20260102_043005_1.mp4")
    assert parse_file_name("20260102_043005_179_2.mp4") == ("179_2", posted)
    assert parse_file_name("holiday.jpg") is None
    assert parse_file_name("20261302_043005_1.jpg") is None


def test_the_first_bytes_tell_the_type() -> None:
    assert sniff(b"\xff\xd8\xff\xe0" + bytes(28)) is JPEG
    assert sniff(b"\x89PNG\r\n\x1a\n" + bytes(24)) is PNG
    assert sniff(b"GIF89a" + bytes(26)) is GIF
    assert sniff(b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(16)) is WEBP
    assert sniff(b"\x00\x00\x00\x20ftypisom" + bytes(20)) is MP4
    assert sniff(b"\x00\x00\x00\x20ftypqt  " + bytes(20)) is MOV
    assert sniff(b"\x00\x00\x00\x20ftypheic" + bytes(20)) is None
    for other in (b"<!doctype html>", b"MZ\x90\x00", b"#!/bin/sh\n", b"", b"\x7fELF", b"%PDF-1.7", b"PK\x03\x04"):
        assert sniff(other) is None


def write(path: Path, file: CdnFile) -> bytes:
    content = b"".join(pieces(file))
    path.write_bytes(content)
    return content


@pytest.mark.parametrize(
    ("file", "file_type"),
    [(CdnFile("a", "image", 50_000), JPEG), (CdnFile("b", "video", 400_000), MP4)],
)
def test_the_simulators_files_are_real_and_a_cut_one_is_noticed(
    file: CdnFile, file_type: FileType, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    content = write(path, file)
    assert sniff(content[:32]) is file_type
    assert len(content) == length_of(file) == file.size
    measures = check_file(path, file_type, media_id="1")
    assert measures == (Measures(480, 480) if file.kind == "image" else Measures(320, 320, 2.0)) or measures.width > 0
    for kept in (len(content) - 1, len(content) // 2, 100):
        path.write_bytes(content[:kept])
        with pytest.raises(NotMediaError) as caught:
            check_file(path, file_type, media_id="1")
        assert caught.value.media_id == "1"


def test_every_piece_of_a_video_is_the_same_wherever_reading_begins() -> None:
    file = CdnFile("v", "video", 3_000_000)
    whole = b"".join(pieces(file))
    for start in (1, 5_000, 12_700, 262_144, 1_048_577, 2_999_999):
        assert b"".join(pieces(file, start)) == whole[start:]


def test_equal_content_is_equal_bytes_and_other_content_is_not() -> None:
    assert sha256_of(CdnFile("a", "image", 0)) == sha256_of(CdnFile("a", "image", 0))
    assert sha256_of(CdnFile("a", "image", 0)) != sha256_of(CdnFile("b", "image", 0))
    assert sha256_of(CdnFile("a", "video", 500_000)) != sha256_of(CdnFile("b", "video", 500_000))


def test_a_damaged_video_and_a_bomb_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(20) + b"\x00\x00\x01\x00mdat" + bytes(248))
    with pytest.raises(NotMediaError):
        check_file(path, MP4, media_id="1")
    header = b"\x00\x00\x00\rIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + b"\xde\xad\xbe\xef" + bytes(64))
    with pytest.raises(NotMediaError):
        check_file(path, PNG, media_id="1")


def test_a_playlist_in_disguise_opens_no_address(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\x00\x00\x20ftypisom#EXTM3U\nhttp://127.0.0.1:9/x\n")
    with pytest.raises(NotMediaError):
        check_file(path, MP4, media_id="1")
