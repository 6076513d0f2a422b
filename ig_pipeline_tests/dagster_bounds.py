"""`make dagster-bounds`: definitions load on the first and the newest Dagster that pyproject.toml allows.

Makes an environment for each in a temporary folder, with the project's other packages from the one that runs this.
"""

import subprocess
import sysconfig
import tempfile
import venv
from pathlib import Path

from ig_pipeline.dagster_internals.versions import TESTED

LOAD = (
    "import dagster, ig_pipeline.definitions as it;"
    "it.build(it.Pipeline()).get_repository_def();"
    "print('Definitions load on Dagster', dagster.__version__)"
)


def load_on(wanted: str, folder: Path) -> str:
    """Install the `wanted` Dagster in `folder` and load the definitions on it. Raises `CalledProcessError`."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))  # behind what was just installed
    command = [str(python), "-W", "ignore", "-c", LOAD]
    said: str = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return said.splitlines()[-1]


def main() -> None:
    """Say with which releases they load."""
    (first, minor), (major, newest) = TESTED
    with tempfile.TemporaryDirectory() as folder:
        for wanted in (f"dagster=={first}.{minor}.0", f"dagster>={major}.{newest},<{major}.{newest + 1}"):
            print(load_on(wanted, Path(folder) / str(len(wanted))))


if __name__ == "__main__":
    main()
