"""Whether a secret stands in what was printed or written: as it is, in a URL, or in base64."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

# Every token of the simulator, whoever it was given to: Meta's begin so too.
TOKEN_SHAPED = re.compile(rb"EAA[A-Za-z0-9]{40,}|IGAA[A-Za-z0-9]{40,}")


def written_files(folder: Path) -> Iterator[Path]:
    """All but the file whose content is the key."""
    return (path for path in folder.rglob("*") if path.is_file() and path.name != "token.key")


def assert_nowhere(secrets: Mapping[str, str], output: str, folder: Path) -> None:
    """Fails with the name of the secret and the place, never with the secret itself."""
    places = {"what was printed": output.encode(), **{str(path): path.read_bytes() for path in written_files(folder)}}
    for name, secret in secrets.items():
        found = [place for place, text in places.items() if any(form in text for form in forms(secret))]
        assert not found, f"{name} stands in {found}"


def assert_no_token(output: str, folder: Path) -> None:
    """No token at all, one's own or another's."""
    places = {"what was printed": output.encode(), **{str(path): path.read_bytes() for path in written_files(folder)}}
    found = [place for place, text in places.items() if TOKEN_SHAPED.search(text)]
    assert not found, f"a token stands in {found}"


def forms(secret: str) -> set[bytes]:
    """The secret's bytes, percent-encoded, and in base64 wherever in a longer text it begins."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode()}
    for offset in range(3):
        encoded = b64encode(bytes(offset) + plain)
        # The first and last characters mix with what stands around it.
        core = encoded[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found
