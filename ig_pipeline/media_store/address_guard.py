"""Which addresses a download may touch: the CDN's hosts over https, at public addresses, and nothing else.

URLs are judged before a request, sockets when they are made: whatever a name resolves to at that moment, a connection
to an address that is not public never begins. The engine never sees this; the downloader asks at each hop.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yarl import URL

from ig_pipeline.media_store.errors import ForbiddenAddressError

# IPv6 that carries an IPv4 address inside: judged by what is inside (NAT64, RFC 6052) or refused (6to4, Teredo and
# local-use NAT64: no CDN lives there).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "::/96",
        "fec0::/10",
        "100::/64",
        "5f00::/16",
        "3fff::/20",
    )
)
# The anycast address of 6to4's relays: public by the book, a way into the same tunnels.
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")
# What an address is written in. Parsers differ over spaces, control characters and backslashes: some drop them.
_WRITTEN = re.compile(r"[!-\[\]-~]*")
_HTTPS, _PORTS = "https", {None, 443}


@dataclass(frozen=True)
class AddressGuard:
    """`hosts`: names allowed with their subdomains. `simulator`: the one origin allowed besides, private or not.

    That origin is the Graph URL of the settings: who points the program at a simulator trusts its address.
    """

    hosts: tuple[str, ...]
    simulator: URL | None = None

    def check_url(self, url: str, *, base: URL | None = None) -> URL:
        """The URL to request, relative to `base` if given; nothing is resolved. Raises `ForbiddenAddressError`."""
        try:
            if not _WRITTEN.fullmatch(url):
                raise ValueError
            target = URL(url, encoded=True)
            if base is not None:
                target = base.join(target)
            host, port = target.raw_host, target.explicit_port
        except ValueError as error:
            raise ForbiddenAddressError("The API named a file at something that is no URL: not downloaded.") from error
        if self._is_simulator(target):
            return target
        if target.scheme != _HTTPS or not host or target.user is not None or target.password is not None:
            raise ForbiddenAddressError(f"A file at {_shown(target)} is not downloaded: only plain https is.")
        # A dot at the end is the same host to DNS and another one to a comparison.
        if port not in _PORTS or not any(host == name or host.endswith(f".{name}") for name in self.hosts):
            raise ForbiddenAddressError(
                f"A file at {_shown(target)} is not downloaded: that host is not in IG_PIPELINE_MEDIA_HOSTS."
            )
        return target

    def make_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for one resolved address (as `getaddrinfo` gives it).

        The connection goes to this very address: a name that resolves to another one a moment later changes nothing.
        Raises `PermissionError`: of other exceptions the connector, which may try two addresses at once, knows nothing.
        """
        family, kind, protocol, _, target = address
        if not is_public(target[0]) and not self._is_simulators_port(target):
            raise PermissionError(
                errno.EACCES, f"The file's host resolved to {target[0]}, which is not public: not connected"
            )
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    def _is_simulator(self, target: URL) -> bool:
        return (
            self.simulator is not None
            and target.user is None
            and target.password is None
            and (target.scheme, target.raw_host, target.port)
            == (self.simulator.scheme, self.simulator.raw_host, self.simulator.port)
        )

    def _is_simulators_port(self, target: Sequence[Any]) -> bool:
        """Whether a non-public socket address is the simulator's: its port, and an address of its host."""
        if self.simulator is None or self.simulator.raw_host is None or target[1] != self.simulator.port:
            return False
        found = socket.getaddrinfo(self.simulator.raw_host, self.simulator.port, type=socket.SOCK_STREAM)
        return any(entry[4][0] == target[0] for entry in found)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, whatever it is wrapped in."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return is_public(str(parsed.ipv4_mapped))
        if parsed in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
        if any(parsed in block for block in _REFUSED_V6):
            return False
    elif parsed in _RELAYS:
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _shown(target: URL) -> str:
    """Scheme and host, cut: a signed path or a password in a URL must not reach a log."""
    return f"{target.scheme[:12]}://{(target.raw_host or '?')[:80]}"
