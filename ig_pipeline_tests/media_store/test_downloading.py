"""Downloads over a real socket: whole, or an error that says why; resumed after a cut; never to a forbidden address."""

import asyncio
import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from yarl import URL

from ig_pipeline.media_store.address_guard import AddressGuard
from ig_pipeline.media_store.downloading import RETRIES, Downloader, DownloadLimits
from ig_pipeline.media_store.errors import (
    BackfillError,
    DownloadError,
    ForbiddenAddressError,
    NotMediaError,
    TooLargeError,
    UrlExpiredError,
)
from ig_pipeline.media_store.parts import Part
from ig_pipeline.simulator.cdn_files import CdnFile, sha256_of
from ig_pipeline_tests.media_store.serving import RunningCdn, trap
from ig_pipeline_tests.raw_server import raw_server

pytestmark = pytest.mark.anyio

ID = "17900000000000017"
VIDEO = CdnFile("v", "video", 5_000_000)
SOON = replace(RETRIES, first=0.001)
ONCE = replace(RETRIES, attempts=1)
HASTY = DownloadLimits(stall=2.0, retries=SOON)


class Resolver(aiohttp.abc.AbstractResolver):
    """Answers every name with the addresses it was given."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in self.addresses
        ]  # fmt: skip

    async def close(self) -> None:
        return


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path, "stem")


async def fetch(
    guard: AddressGuard,
    url: str,
    part: Part,
    threads: ThreadPoolExecutor,
    *,
    max_bytes: int = 10**9,
    limits: DownloadLimits = HASTY,
    resolver: aiohttp.abc.AbstractResolver | None = None,
) -> list[int]:
    seen: list[int] = []
    async with Downloader(
        guard, connections=4, max_bytes=max_bytes, threads=threads, limits=limits, resolver=resolver
    ) as downloader:
        part.write(await downloader.fetch(url, part, media_id=ID, on_bytes=seen.append))
    return seen


@pytest.mark.parametrize("file", [CdnFile("a", "image", 30_000), VIDEO])
async def test_a_file_comes_whole_and_is_counted(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, file: CdnFile
) -> None:
    seen = await fetch(cdn.guard(), cdn.link(ID, file), part, threads)
    assert part.sha256 == sha256_of(file)
    assert hashlib.sha256(part.path.read_bytes()).hexdigest() == part.sha256
    assert sum(seen) == part.size == part.path.stat().st_size


@pytest.mark.parametrize(
    "faults",
    [
        ("cut",),
        ("cut 10", "cut 3000000", "cut 1"),
        ("cut", "no-range"),
        ("status 503", "status 500", "cut 0"),
        ("status 429",),
        ("cut 4000000", "status 502", "cut 500000"),
        ("redirect {url}",),
    ],
)
async def test_a_cut_download_goes_on_and_ends_whole(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, faults: tuple[str, ...]
) -> None:
    url = cdn.link(ID, VIDEO)
    cdn.cdn.faults[ID].extend(fault.format(url=url) for fault in faults)
    seen = await fetch(cdn.guard(), url, part, threads)
    assert part.sha256 == sha256_of(VIDEO)
    assert sum(seen) == VIDEO.size


async def test_after_a_cut_only_the_rest_is_sent(cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor) -> None:
    await fetch(cdn.guard(), cdn.link(ID, VIDEO, "cut 3000000"), part, threads)
    assert cdn.cdn.requests[ID] == 2
    assert cdn.cdn.bytes_sent < VIDEO.size + 2_000_000


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_refused_url_is_called_expired_and_not_tried_again(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, status: int
) -> None:
    with pytest.raises(UrlExpiredError) as caught:
        await fetch(cdn.guard(), cdn.link(ID, VIDEO, f"status {status}"), part, threads)
    assert caught.value.media_id == ID
    assert cdn.cdn.requests[ID] == 1


async def test_a_url_past_its_time_is_refused_by_the_cdn(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor
) -> None:
    url = cdn.link(ID)
    cdn.now += timedelta(hours=120)
    with pytest.raises(UrlExpiredError):
        await fetch(cdn.guard(), url, part, threads)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("html", NotMediaError),
        ("oversize 3000000000", TooLargeError),
        ("oversize-unsized 90000000", TooLargeError),
        ("status 418", DownloadError),
    ],
)
async def test_what_is_no_media_file_is_refused_early(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, fault: str, error: type[BackfillError]
) -> None:
    with pytest.raises(error) as caught:
        await fetch(cdn.guard(), cdn.link(ID, VIDEO, fault), part, threads, max_bytes=6_000_000)
    assert caught.value.media_id == ID
    assert part.size <= 8_000_000


async def test_a_cdn_that_never_delivers_is_given_up_in_words(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor
) -> None:
    cdn.cdn.faults["*"].append("status 503")
    with pytest.raises(DownloadError, match=r"status 503; 0 bytes came") as caught:
        await fetch(cdn.guard(), cdn.link(ID), part, threads)
    assert cdn.cdn.requests[ID] == SOON.attempts
    assert "oh=" not in str(caught.value)


async def test_a_trickle_is_given_up(cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor) -> None:
    cdn.cdn.faults["*"].append("slow 0.05")
    limits = DownloadLimits(retries=ONCE, slowest=10**12, grace=0.01)
    with pytest.raises(DownloadError, match="too slow"):
        await fetch(cdn.guard(), cdn.link(ID, VIDEO), part, threads, limits=limits)


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\n"], ids=["nothing", "200", "302"]
)
async def test_headers_that_trickle_are_given_up(begun: bytes, part: Part, threads: ThreadPoolExecutor) -> None:
    over = threading.Event()

    def trickle(peer: socket.socket) -> None:
        peer.sendall(begun)
        while begun and not over.wait(0.01):
            peer.sendall(b"X: x\r\n")
        over.wait(30)

    with raw_server(trickle) as url:
        guard = AddressGuard(("cdninstagram.com",), simulator=URL(url))
        try:
            with pytest.raises(DownloadError, match="Timeout"):
                await fetch(guard, f"{url}/a.jpg", part, threads, limits=DownloadLimits(answer=0.3, retries=ONCE))
        finally:
            over.set()


async def test_a_stalled_cdn_is_given_up(cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor) -> None:
    cdn.cdn.faults["*"].append("slow 30")
    with pytest.raises(DownloadError, match="Timeout"):
        await fetch(cdn.guard(), cdn.link(ID), part, threads, limits=DownloadLimits(stall=0.05, retries=ONCE))


async def test_redirects_in_circles_end(cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor) -> None:
    url = cdn.link(ID)
    cdn.cdn.faults["*"].append(f"redirect {url}")
    with pytest.raises(DownloadError, match="circles"):
        await fetch(cdn.guard(), url, part, threads)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "https://127.0.0.1:{port}/",
               "//127.0.0.1:{port}", "http://[::ffff:127.0.0.1]:{port}/", "http://2130706433:{port}/", "http://cdn@127.0.0.1:{port}/"],
)  # fmt: skip
async def test_a_redirect_to_somewhere_private_is_not_followed(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, target: str
) -> None:
    with trap() as listener:
        with pytest.raises(ForbiddenAddressError) as caught:
            await fetch(
                cdn.guard(), cdn.link(ID, VIDEO, f"redirect {target.format(port=listener.port)}"), part, threads
            )
        assert caught.value.media_id == ID
        assert listener.connections == 0
    assert part.size == 0


@pytest.mark.parametrize(
    "addresses",
    ["127.0.0.1", "::1 127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
)
async def test_a_cdn_name_that_resolves_to_a_private_address_is_not_connected(
    part: Part, threads: ThreadPoolExecutor, addresses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []

    async def note(self: object, sock: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", note)
    with pytest.raises(ForbiddenAddressError, match=r"not public|may be used"):
        await fetch(
            AddressGuard(("cdninstagram.com",)),
            "https://scontent.cdninstagram.com/x.jpg",
            part,
            threads,
            resolver=Resolver(*addresses.split()),
        )
    assert not connected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fe80::1",
    ],
)
async def test_a_redirect_to_a_cdn_name_that_resolves_to_a_private_address_is_not_followed(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor, address: str
) -> None:
    url = cdn.link(ID, VIDEO, "redirect https://scontent.cdninstagram.com/x.jpg")
    with pytest.raises(ForbiddenAddressError) as caught:
        await fetch(cdn.guard(), url, part, threads, resolver=Resolver(address))
    assert caught.value.media_id == ID
    assert part.size == 0


async def test_a_connection_goes_to_the_address_that_was_checked(
    part: Part, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its mind between check and connection (DNS rebinding) changes nothing."""
    connected: list[object] = []

    async def note(self: object, sock: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", note)
    with pytest.raises((DownloadError, ForbiddenAddressError)):
        await fetch(
            AddressGuard(("cdninstagram.com",)),
            "https://scontent.cdninstagram.com/x.jpg",
            part,
            threads,
            resolver=Resolver("157.240.1.1", "10.0.0.1"),
            limits=DownloadLimits(retries=ONCE),
        )
    assert set(connected) <= {("157.240.1.1", 443)}


async def test_a_cancelled_download_lets_go_of_its_file(
    cdn: RunningCdn, part: Part, threads: ThreadPoolExecutor
) -> None:
    cdn.cdn.faults["*"].append("slow 0.02")
    task = asyncio.create_task(fetch(cdn.guard(), cdn.link(ID, VIDEO), part, threads))
    while not part.size and not task.done():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    part.discard()
    assert not part.path.exists()
