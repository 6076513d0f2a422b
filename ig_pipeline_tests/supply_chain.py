"""What the image installs: its licences and its known vulnerabilities. `make licences`, `make audit`.

The image's bill of materials needs no code of ours: `make sbom`. All three read deploy/requirements.txt.
"""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parent.parent / "deploy" / "requirements.txt"
# What pip-audit asks.
DATABASE = "https://api.osv.dev"

# Free to use in a service that is not given away. The LGPL's libraries are imported as they are.
ALLOWED = re.compile(
    r"0BSD|Apache.*|.*\bBSD\b.*|BSD.*|MIT.*|ISC.*|MPL-2\.0|Mozilla Public License 2\.0.*|"
    r".*Python Software Foundation.*|PSF.*|Python-2\.0|HPND|Unlicense|The Unlicense.*|Zlib|CC0-1\.0|LGPL.*|.*\bLGPL",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Licence:
    """A package of the image. `text` None: not installed here; empty: it names none."""

    package: str
    text: str | None

    @property
    def allowed(self) -> bool:
        """Whether every part of it is (of alternatives, one)."""
        parts = re.split(r"\s+AND\s+|\s*;\s*", (self.text or "").replace("(", "").replace(")", ""))
        return all(any(ALLOWED.fullmatch(one.strip()) for one in re.split(r"\s+OR\s+", part)) for part in parts)


def locked(lock: Path = LOCK) -> Iterator[Requirement]:
    """The packages of the image, without those of other systems."""
    for line in lock.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def licence_of(package: str) -> Licence:
    """As its metadata says: the expression, else the classifiers, else the first line of the old field."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return Licence(package, None)
    classified = [
        value.rpartition(" :: ")[2]
        for value in told.get_all("Classifier", [])
        if value.startswith("License ::") and value != "License :: OSI Approved"
    ]
    old = "".join(told.get_all("License", [])).strip().splitlines()
    return Licence(
        package, "".join(told.get_all("License-Expression", [])) or "; ".join(classified) or "".join(old[:1])
    )


def licences() -> int:
    """Print one line per package; 1 when one is not allowed."""
    found = [licence_of(requirement.name) for requirement in locked()]
    for one in found:
        print(f"{one.package:32}{'not installed here' if one.text is None else one.text or 'names none'}")
    missing = sum(one.text is None for one in found)
    if missing:
        print(f"\n{missing} of {len(found)} are not installed here: `pip install '.[kubernetes]'` shows theirs, too.")
    refused = [one for one in found if one.text is not None and not one.allowed]
    if refused:
        names = ", ".join(one.package for one in refused)
        print(f"\nNot on the list of allowed licences: {names}. Read them, then add to ALLOWED or do without.")
    return 1 if refused else 0


def audit(database: str = DATABASE) -> int:
    """Ask for known vulnerabilities; skipped with a sentence when the database does not answer."""
    try:
        with urllib.request.urlopen(f"{database}/v1/vulns/GHSA-2jv5-9r88-3w3p", timeout=10):
            pass
    except (urllib.error.URLError, OSError) as error:
        print(f"Skipped: the database of vulnerabilities at {database} cannot be reached ({error}).")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--disable-pip", "--require-hashes"]
    return subprocess.run([*command, "-r", LOCK], check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """`licences` or `audit`."""
    return {"licences": licences, "audit": audit}[arguments[0]]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
