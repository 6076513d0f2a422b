"""The client of the Graph API can be used without the rest of this program."""

import subprocess
import sys
from pathlib import Path

import pytest

import ig_pipeline.graph_api

FOLDER = Path(ig_pipeline.graph_api.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))

# Nothing of the rest but four modules that import nothing of ours themselves.
ALONE = """
import sys

class Rest:
    def find_spec(self, name, path=None, target=None):
        allowed = {"graph_api", "bounded_answers", "clock", "redaction", "retrying", "token_ends"}
        if name.startswith("ig_pipeline.") and name.split(".")[1] not in allowed:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Rest())
for module in sys.argv[1:]:
    __import__(f"ig_pipeline.graph_api.{module}")

import asyncio
import httpx
from pydantic import SecretStr
from ig_pipeline.graph_api.client import Credentials, GraphClient
from ig_pipeline.graph_api.hosts import MetaHosts

async def ask():
    meta = httpx.MockTransport(lambda request: httpx.Response(200, json={"id": "1"}))
    async with GraphClient(MetaHosts(), transport=meta) as client:
        print(await client.get("me", {}, credentials=Credentials("1", SecretStr("t"), "instagram")))

asyncio.run(ask())
"""


def test_the_client_imports_and_asks_without_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, *MODULES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{'id': '1'}\n"), done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_the_names_of_settings(module: str) -> None:
    assert "IG_PIPELINE" not in (FOLDER / f"{module}.py").read_text(encoding="utf-8")
