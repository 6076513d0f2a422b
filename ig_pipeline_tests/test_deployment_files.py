"""What the files in deploy/ allow: images, packages and rights. Nothing here builds or starts a container."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from ig_pipeline_tests import supply_chain
from ig_pipeline_tests.supply_chain import Licence, licence_of, locked

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HELM: dict[str, Any] = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())
LOCK = (DEPLOY / "requirements.txt").read_text()


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_a_container_writes_nothing_but_its_volumes_and_gets_no_rights(service: str) -> None:
    found = COMPOSE["services"][service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in found["tmpfs"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(found)


def test_no_container_runs_as_root() -> None:
    assert COMPOSE["services"]["postgres"]["user"] == "postgres"
    before_start = DOCKERFILE[: DOCKERFILE.index("\nCMD ")]
    assert re.findall(r"^USER (\d+):(\d+)$", before_start, re.M)[-1] == ("10001", "10001")
    assert "install -d -m 0700 -o pipeline" in DOCKERFILE


def containers_of_helm() -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Security of pod and container, and what they mount, for all that the chart starts of ours."""
    for part in (*HELM["dagster-user-deployments"]["deployments"], HELM["dagsterWebserver"], HELM["dagsterDaemon"]):
        yield part["podSecurityContext"], part["securityContext"], part
    launched = HELM["runLauncher"]["config"]["k8sRunLauncher"]
    run = launched["runK8sConfig"]
    yield run["podSpecConfig"]["securityContext"], run["containerConfig"]["securityContext"], launched


def test_pods_run_without_rights_on_a_file_system_they_cannot_write() -> None:
    found = list(containers_of_helm())
    assert len(found) == 4
    for pod, container, mounted in found:
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == 10001, "the image's"
        assert container == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["mountPath"] for mount in mounted["volumeMounts"]} == {"/tmp", "/data"}
        assert {mount["name"] for mount in mounted["volumeMounts"]} == {volume["name"] for volume in mounted["volumes"]}


def test_every_package_of_the_image_has_its_version_and_hashes() -> None:
    assert "--no-deps --require-hashes -r deploy/requirements.txt" in DOCKERFILE
    assert "--no-index --no-deps --no-build-isolation ." in DOCKERFILE, "nothing else is fetched"
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    for block in blocks:
        first, *hashes = (line.rstrip(" \\") for line in block.splitlines())
        assert re.match(r"[a-z0-9.-]+==[^ ;]+", first), first
        assert hashes, first
        assert all(re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}", line) for line in hashes), first


def test_the_image_has_the_versions_that_are_tested() -> None:
    tested = set((ROOT / "constraints.txt").read_text().splitlines())
    pins = {line.split(";")[0].strip() for line in tested}
    own = {f"{one.name}{one.specifier}" for one in locked()}
    # What builds the wheel is in no environment of ours.
    assert {pin for pin in own - pins if not pin.startswith(("hatchling", "trove-classifiers"))} == set()
    declared = re.search(r"^dependencies = \[(.+?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert declared is not None
    names = {Requirement(name).name.lower() for name in re.findall(r'"([^"]+)"', declared[1])}
    assert names <= {one.name for one in locked()}


def test_images_are_named_by_more_than_a_moving_tag() -> None:
    images = [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.M), COMPOSE["services"]["postgres"]["image"]]
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z-]+(@sha256:[0-9a-f]{64})?", image), image


@pytest.mark.parametrize("answers", [True, False])
def test_images_are_pinned_to_the_digests_that_the_registry_names(tmp_path: Path, answers: bool) -> None:
    """With a `docker` that answers in a registry's stead: none is reached from here."""
    digest = "sha256:" + "ab" * 32
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\ncase $2 in version) ;; *) {f'echo {digest}' if answers else 'exit 1'} ;; esac\n")
    docker.chmod(0o755)
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    before = {}
    for name in ("Dockerfile", "compose.yaml", "pin_images.sh"):
        before[name] = (DEPLOY / name).read_text()
        (deploy / name).write_text(before[name])
    env = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        done = subprocess.run(["sh", deploy / "pin_images.sh"], env=env, capture_output=True, text=True, check=False)
    after = {name: (deploy / name).read_text() for name in before}
    if not answers:
        assert done.returncode == 1
        assert "does not answer; nothing was changed" in done.stderr
        assert after == before
        return
    assert done.returncode == 0, done.stderr
    assert len(re.findall(rf"^FROM python:\S+@{digest}$", after["Dockerfile"], re.M)) == 1
    assert re.search(rf"^    image: postgres:[^@\s]+@{digest}$", after["compose.yaml"], re.M)
    assert {name: text.replace(f"@{digest}", "") for name, text in after.items()} == {
        name: re.sub(r"@sha256:[0-9a-f]{64}", "", text) for name, text in before.items()
    }


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT AND MPL-2.0)", True),
        ("BSD License; Apache Software License", True),
        ("GNU Library or Lesser General Public License (LGPL)", True),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-only", False),
        ("GNU Affero General Public License v3", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_when_all_of_it_is(text: str, allowed: bool) -> None:
    assert Licence("x", text).allowed is allowed


def test_what_the_image_installs_may_be_used() -> None:
    found = [licence_of(one.name) for one in locked()]
    assert [one for one in found if one.text is not None and not one.allowed] == []


def test_the_audit_is_skipped_with_a_sentence_where_its_database_is_out_of_reach(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert supply_chain.audit("http://127.0.0.1:1") == 0
    assert "Skipped" in capsys.readouterr().out


def test_a_vulnerability_fails_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: open(os.devnull))  # noqa: PTH123, SIM115
    asked: list[list[Any]] = []

    def run(command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr("subprocess.run", run)
    assert supply_chain.audit() == 1
    assert asked[0][-1] == supply_chain.LOCK
