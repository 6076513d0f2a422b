"""What both kinds of store promise: a name is a whole file, or is not there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import S3Store

from ig_pipeline.media_store.errors import StoreError, StoreFullError, StoreUrlError, UnsafeNameError
from ig_pipeline.media_store.local_folder import LocalFolder, open_folder
from ig_pipeline.media_store.object_storage import ObjectStorage
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.media_store.parts import Part
from ig_pipeline.media_store.sniffing import JPEG
from ig_pipeline.media_store.store import Store
from ig_pipeline.settings import load_settings
from ig_pipeline_tests.media_store.conftest import s3_store

FOLDER = "instagram_backfill/1"
KEY = f"{FOLDER}/20260102_030405_17.jpg"


def put(store: Store, key: str, content: bytes) -> None:
    part = store.begin(FOLDER, "20260102_030405_17")
    part.write([content])
    store.commit(part, key, JPEG)


def test_a_committed_file_is_whole_and_no_part_stays(store: Store, parts_left: Callable[[], list[Path]]) -> None:
    put(store, KEY, b"abc" * 1000)
    assert store.read(KEY) == b"abc" * 1000
    assert store.size_of(KEY) == 3000
    assert list(store.keys(FOLDER)) == [KEY]
    assert not parts_left()


def test_settled_names_are_those_of_files_that_are_there(store: Store) -> None:
    put(store, KEY, b"abc")
    store.settle([KEY, KEY])
    store.settle([])
    with pytest.raises(UnsafeNameError):
        open_folder(Path("/nowhere")).settle(["../x"])
    with pytest.raises(StoreError):
        open_folder(Path("/nowhere")).settle([KEY])


def test_an_uncommitted_file_has_no_name(store: Store, parts_left: Callable[[], list[Path]]) -> None:
    part = store.begin(FOLDER, "stem")
    part.write([b"half"])
    assert list(store.keys(FOLDER)) == []
    assert store.size_of(KEY) is None
    part.discard()
    part.discard()
    assert not parts_left()


def test_a_file_larger_than_one_piece_is_kept_whole(store: Store, tmp_path: Path) -> None:
    content = os.urandom(20 * 1024 * 1024 + 17)
    put(store, KEY, content)
    store.copy_to(KEY, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_a_file_is_replaced_and_deleted(store: Store) -> None:
    put(store, KEY, b"one")
    put(store, KEY, b"two")
    assert store.read(KEY) == b"two"
    store.delete(KEY)
    store.delete(KEY)
    assert store.size_of(KEY) is None


def test_a_file_that_is_not_there_is_a_store_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        store.read(KEY)
    with pytest.raises(StoreError):
        store.copy_to(KEY, tmp_path / "copy")


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a\x00b",
        "a/./b",
        ".hidden",
        "a//b",
        "a\\b",
        "",
        "a/",
        "é",
        "a" * 600,
        "a\n",
        "-a",
    ],
)
def test_a_key_that_leads_elsewhere_is_refused(
    store: Store, key: str, tmp_path: Path, parts_left: Callable[[], list[Path]]
) -> None:
    part = store.begin(FOLDER, "stem")
    with pytest.raises(UnsafeNameError):
        store.commit(part, key, JPEG)
    with pytest.raises(UnsafeNameError):
        store.begin(key, "stem")
    with pytest.raises(UnsafeNameError):
        store.begin(FOLDER, key)
    with pytest.raises(UnsafeNameError):
        store.size_of(key)
    assert not parts_left()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_sweeping_spares_what_a_living_process_writes(
    store: Store, tmp_path: Path, parts_left: Callable[[], list[Path]]
) -> None:
    alive = store.begin(FOLDER, "alive")
    alive.write([b"x"])
    script = (
        "import sys; from pathlib import Path; from ig_pipeline.media_store.parts import Part\n"
        "part = Part(Path(sys.argv[1]), 'dead'); part.write([b'x']); import os; os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(alive.path.parent)], check=False)
    assert len(parts_left()) == 2
    assert store.sweep() == 1
    assert parts_left() == [alive.path]
    alive.discard()


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    part = Part(tmp_path, "stem")
    part.write([b""])
    os.dup2(os.open("/dev/full", os.O_WRONLY), part._descriptor or -1)
    with pytest.raises(StoreFullError, match="Make room"):
        part.write([b"x" * 100])
    part.discard()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="IG_PIPELINE_MEDIA_URL"):
        open_folder(tmp_path / "file")


def test_a_bucket_that_does_not_exist_is_named_as_the_reason(
    s3: str, tmp_path: Path, parts_left: Callable[[], list[Path]]
) -> None:
    store = ObjectStorage(s3_store(s3, "nobucket", make=False), location="s3://nobucket", spool=tmp_path)
    with pytest.raises(StoreError, match="no such bucket"):
        put(store, KEY, b"x")
    assert not parts_left()


def test_an_object_storage_out_of_reach_is_one_line(tmp_path: Path) -> None:
    client = S3Store(
        "b",
        endpoint="http://127.0.0.1:9",
        access_key_id="canary-id",
        secret_access_key="canary-secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    store = ObjectStorage(client, location="s3://b", spool=tmp_path)
    with pytest.raises(StoreError) as caught:
        put(store, KEY, b"x")
    assert "\n" not in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [("", LocalFolder), ("media folder", LocalFolder), ("file:///tmp/a%20b", LocalFolder), ("s3://b/p", ObjectStorage),
     ("gs://b/p", ObjectStorage), ("az://container/p", ObjectStorage)],
)  # fmt: skip
def test_the_setting_names_the_store(url: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path), "IG_PIPELINE_MEDIA_URL": url}, env_file=None)
    store = open_store(settings)
    assert isinstance(store, kind)
    if url.startswith("file"):
        assert store.location == "/tmp/a b"


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "s3://id:secret@bucket/x", "https://example.com/x"])
def test_a_setting_that_names_no_store_is_refused_in_words(url: str, tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path), "IG_PIPELINE_MEDIA_URL": url}, env_file=None)
    with pytest.raises(StoreUrlError, match="IG_PIPELINE_MEDIA_URL") as caught:
        open_store(settings)
    assert "secret" not in str(caught.value)


def test_a_folder_goes_with_all_that_is_in_it_and_its_neighbours_stay(store: Store, tmp_path: Path) -> None:
    for account in ("17", "171"):
        part = store.begin(f"{FOLDER}/{account}", "20260102_030405_17")
        part.write([b"x"])
        store.commit(part, f"{FOLDER}/{account}/20260102_030405_17.jpg", JPEG)
    left = store.begin(f"{FOLDER}/17", "20260102_030405_18")
    left.write([b"unfinished"])
    left.close()
    assert store.delete_folder(f"{FOLDER}/17") == 1
    assert store.delete_folder(f"{FOLDER}/17") == 0
    assert list(store.keys(FOLDER)) == [f"{FOLDER}/171/20260102_030405_17.jpg"]
    assert not [path for path in tmp_path.rglob("*") if path.name == "17"]
