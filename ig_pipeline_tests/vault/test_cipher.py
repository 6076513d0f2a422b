"""The key ring: what it reads, what it refuses, and the key file of the embedded default."""

import base64
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ig_pipeline.settings import load_settings
from ig_pipeline.vault.cipher import (
    MAY_STILL_WRITE,
    KeyRing,
    KeyRingError,
    add_key,
    fingerprint_of,
    key_path,
    new_key,
    prune_keys,
)

TOKEN = SecretStr("EAAcanary-secret-0123456789")
KEY = new_key()
FINGERPRINT = KeyRing([KEY]).encrypt(TOKEN, bound_to="r").split(".")[1]


def test_what_is_encrypted_can_be_read_for_the_same_row_only() -> None:
    ring = KeyRing([new_key()])
    sealed = ring.encrypt(TOKEN, bound_to="user_tokens:1")
    assert ring.decrypt(sealed, bound_to="user_tokens:1") == TOKEN
    with pytest.raises(KeyRingError, match="altered"):
        ring.decrypt(sealed, bound_to="user_tokens:2")


def test_the_same_token_never_looks_the_same_twice() -> None:
    ring = KeyRing([new_key()])
    assert ring.encrypt(TOKEN, bound_to="r") != ring.encrypt(TOKEN, bound_to="r")


def test_a_new_first_key_writes_and_the_old_one_still_reads() -> None:
    old, new = new_key(), new_key()
    sealed = KeyRing([old]).encrypt(TOKEN, bound_to="r")
    ring = KeyRing([new, old])
    assert ring.decrypt(sealed, bound_to="r") == TOKEN
    assert not ring.is_current(sealed)
    assert ring.is_current(ring.encrypt(TOKEN, bound_to="r"))


def test_a_key_that_is_not_on_the_ring_is_named_by_its_fingerprint() -> None:
    sealed = KeyRing([new_key()]).encrypt(TOKEN, bound_to="r")
    with pytest.raises(KeyRingError, match="IG_PIPELINE_ENCRYPTION_KEYS"):
        KeyRing([new_key()]).decrypt(sealed, bound_to="r")


@pytest.mark.parametrize("position", [5, 20, -2])
def test_a_changed_byte_is_noticed(position: int) -> None:
    ring = KeyRing([new_key()])
    sealed = list(ring.encrypt(TOKEN, bound_to="r"))
    sealed[position] = "A" if sealed[position] != "A" else "B"
    with pytest.raises(KeyRingError):
        ring.decrypt("".join(sealed), bound_to="r")


@pytest.mark.parametrize("key", ["short", "not base64 at all!", ""])
def test_a_key_of_another_form_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(KeyRingError, match="32 bytes") as caught:
        KeyRing([SecretStr(key)])
    assert not key or key not in str(caught.value)


def test_the_embedded_key_is_made_once_for_its_owner_alone_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    sealed = KeyRing.from_settings(settings).encrypt(TOKEN, bound_to="r")
    file = tmp_path / "keys" / "token.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(file) in caplog.text
    assert KeyRing.from_settings(settings).decrypt(sealed, bound_to="r") == TOKEN
    assert file.read_text() not in caplog.text
    assert [path.name for path in file.parent.iterdir()] == ["token.key"]


def test_processes_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    rings: list[KeyRing] = []
    threads = [threading.Thread(target=lambda: rings.append(KeyRing.from_settings(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed = rings[0].encrypt(TOKEN, bound_to="r")
    assert [ring.decrypt(sealed, bound_to="r") for ring in rings] == [TOKEN] * 8


def test_a_key_file_that_was_there_still_reads_when_keys_are_set(tmp_path: Path) -> None:
    embedded = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    sealed = KeyRing.from_settings(embedded).encrypt(TOKEN, bound_to="r")
    key = new_key().get_secret_value()
    moved = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path), "IG_PIPELINE_ENCRYPTION_KEYS": key}, env_file=None)
    ring = KeyRing.from_settings(moved)
    assert ring.decrypt(sealed, bound_to="r") == TOKEN
    assert not ring.is_current(sealed)


def test_no_key_file_is_made_where_keys_are_set(tmp_path: Path) -> None:
    key = new_key().get_secret_value()
    KeyRing.from_settings(
        load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path), "IG_PIPELINE_ENCRYPTION_KEYS": key}, env_file=None)
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"canary-secret", b"\xff\xfe"])
def test_a_damaged_key_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys" / "token.key"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(KeyRingError) as caught:
        KeyRing.from_settings(load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None))
    assert str(file) in str(caught.value)
    assert "canary-secret" not in str(caught.value)
    assert file.read_bytes() == content


def test_a_data_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file, where a folder should be")
    with pytest.raises(KeyRingError, match="cannot be used"):
        KeyRing.from_settings(load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None))


@given(plain=st.text(min_size=1), row=st.text(), other=st.text())
def test_whatever_is_sealed_comes_back_for_its_row_and_no_other(plain: str, row: str, other: str) -> None:
    ring = KeyRing([KEY])
    sealed = ring.encrypt(SecretStr(plain), bound_to=row)
    assert ring.decrypt(sealed, bound_to=row).get_secret_value() == plain
    if other != row:
        with pytest.raises(KeyRingError):
            ring.decrypt(sealed, bound_to=other)


@given(st.one_of(st.text(), st.binary().map(lambda raw: f"v1.{FINGERPRINT}.{base64.urlsafe_b64encode(raw).decode()}")))
def test_whatever_else_stands_in_the_column_is_refused_in_one_way(damaged: str) -> None:
    with pytest.raises(KeyRingError):
        KeyRing([KEY]).decrypt(damaged, bound_to="r")


def test_a_ring_that_lives_on_takes_the_new_key_at_once(tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    ring = KeyRing.from_settings(settings)
    before = ring.encrypt(TOKEN, bound_to="r")
    add_key(settings)
    assert not ring.is_current(before)
    assert fingerprint_of(ring.encrypt(TOKEN, bound_to="r")) != fingerprint_of(before)
    assert ring.decrypt(before, bound_to="r") == TOKEN


def test_keys_that_several_processes_add_at_once_are_all_kept(tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    threads = [threading.Thread(target=add_key, args=(settings,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(key_path(settings).read_text().split())) == 9


def test_a_key_that_is_in_use_or_may_still_write_is_not_taken_off(tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    ring = KeyRing.from_settings(settings)
    used = fingerprint_of(ring.encrypt(TOKEN, bound_to="r"))
    add_key(settings)
    add_key(settings)
    changed = datetime.fromtimestamp(key_path(settings).stat().st_mtime, UTC)
    soon, later = changed + MAY_STILL_WRITE - timedelta(seconds=1), changed + MAY_STILL_WRITE
    assert prune_keys(settings, in_use=set, now=soon) == (0, later)
    assert prune_keys(settings, in_use=lambda: {used}, now=later) == (1, None)
    assert ring.only_reading() == (used,)
    assert prune_keys(settings, in_use=lambda: {used}, now=later + MAY_STILL_WRITE) == (0, None)


def test_a_ring_whose_file_went_away_writes_no_more(tmp_path: Path) -> None:
    settings = load_settings({"IG_PIPELINE_DATA_DIR": str(tmp_path)}, env_file=None)
    ring = KeyRing.from_settings(settings)
    key_path(settings).unlink()
    with pytest.raises(KeyRingError, match="cannot be used"):
        ring.encrypt(TOKEN, bound_to="r")
    assert not key_path(settings).exists()
