"""The recorded answers of the real API, where they lie beside the checkout; tests that need them skip elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "recorded"

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the recordings of the real API do not lie beside this checkout"
)


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text()) if FOLDER.is_dir() else []
