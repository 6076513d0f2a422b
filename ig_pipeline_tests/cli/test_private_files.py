"""What is written is its owner's alone, under the umask that most machines have."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ig_pipeline.cli.checks import check_folder
from ig_pipeline.settings import Settings
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline_tests.cli.accounts import connect, environment, settings_in
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.cli.up_process import up_process


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What another user of the machine could read, list or enter, if the folders above let them."""
    found = [folder, *folder.rglob("*")]
    kinds = [(path, path.lstat().st_mode) for path in found]
    return [f"{path} {stat.filemode(mode)}" for path, mode in kinds if not stat.S_ISLNK(mode) and mode & 0o077]


def test_no_other_user_reads_what_commands_write(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    connect(run, meta, "acme.studio")
    assert run("sync", "--account", "acme.studio", "--days", "1", env=environment(meta)).exit_code == 0
    assert run("keys", "rotate").exit_code == 0
    saved = run("backfill-instagram", "--account", "acme.studio", "--limit", "2", env=environment(meta))
    assert saved.exit_code == 0, saved.output
    folder = tmp_path / ".ig_pipeline"
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} >= {".db", ".key", ".jpg"}
    assert open_to_others(folder) == []
    assert check_folder(settings_in(tmp_path, {})).status == "ok"


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("up")
def test_no_other_user_reads_what_up_and_dagster_write(tmp_path: Path) -> None:
    with up_process(tmp_path / "data", "up", env={}) as up:
        up.says("Web service:")
        assert open_to_others(tmp_path / "data") == []
        assert (tmp_path / "data" / "ig_pipeline.db-wal").exists()
        assert (tmp_path / "data" / "dagster" / "schedules").is_dir()


def test_a_database_elsewhere_is_private_too(run: Run, meta: RunningSimulator, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'far' / 'away' / 'my.db'}"
    assert run("connections", "list", env={"IG_PIPELINE_DATABASE_URL": url}).exit_code == 0
    assert open_to_others(tmp_path / "far") == []


def test_doctor_names_what_others_can_read_and_how_to_mend_it(tmp_path: Path) -> None:
    """Made by a release before, or by hand."""
    home, elsewhere, media = tmp_path / "it's mine", tmp_path / "elsewhere.db", tmp_path / "media"
    for folder in (home, media):
        folder.mkdir()
        folder.chmod(0o755)
    elsewhere.touch(0o644)
    settings = Settings.model_validate(
        {"data_dir": home, "database_url": f"sqlite:///{elsewhere}", "media_url": str(media)}
    )
    finding = check_folder(settings)
    assert finding.status == "warn"
    for path in (home, elsewhere, media):
        assert str(path) in finding.detail
    assert os.system(finding.advice) == 0, "the advice is a command"
    assert check_folder(settings).status == "ok"
    assert open_to_others(home) == open_to_others(media) == []
