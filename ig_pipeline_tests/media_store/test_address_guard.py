"""Downloads touch the CDN's hosts at public addresses, and nothing else, whatever the API or a redirect says."""

import socket

import pytest
from yarl import URL

from ig_pipeline.media_store.address_guard import AddressGuard, is_public
from ig_pipeline.media_store.errors import ForbiddenAddressError

GUARD = AddressGuard(("cdninstagram.com", "fbcdn.net"))

FORBIDDEN_ADDRESSES = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
    "2002:a9fe:a9fe::1", "2002:808:808::1", "2001:0:7f00:1::1", "0.0.0.1", "100.127.255.254", "169.254.0.1",
    "192.88.99.1", "198.19.255.255", "::ffff:0.0.0.0", "::ffff:192.168.0.1", "::ffff:224.0.0.1", "64:ff9b::",
    "64:ff9b::c0a8:1", "64:ff9b::e000:1", "64:ff9b:1:fffe::7f00:1", "2002:c0a8:1::1", "2002::", "2001:0:53aa:64c::1",
    "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8:ffff::1", "3fff::1", "5f00::1", "fdff:ffff::1", "febf::1%lo",
    "ff0e::1", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "localhost", "127.0.0.1\x00", "not an address", "",
]  # fmt: skip
PUBLIC_ADDRESSES = ["157.240.1.1", "31.13.66.7", "2a03:2880:f101:83:face:b00c:0:25de", "64:ff9b::9df0:101", "8.8.8.8"]

FORBIDDEN_URLS = [
    "http://scontent.cdninstagram.com/x.jpg",
    "ftp://scontent.cdninstagram.com/x.jpg",
    "file:///etc/passwd",
    "//127.0.0.1/x",
    "/etc/passwd",
    "",
    "https://",
    "https:///x",
    "https://127.0.0.1/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[64:ff9b::7f00:1]/x",
    "https://2130706433/x",
    "https://0x7f.1/x",
    "https://017700000001/x",
    "https://localhost/x",
    "https://169.254.169.254/latest/meta-data",
    "https://evilcdninstagram.com/x",
    "https://cdninstagram.com.evil.example/x",
    "https://cdninstagram.com@evil.example/x",
    "https://evil.example#@cdninstagram.com/x",
    "https://evil.example?.cdninstagram.com/x",
    "https://evil.example\\.cdninstagram.com/x",
    "https://user@scontent.cdninstagram.com/x",
    "https://user:password@scontent.cdninstagram.com/x",
    "https://:@127.0.0.1/x",
    "https://scontent.cdninstagram.com:22/x",
    "https://scontent.cdninstagram.com:99999/x",
    "https://scontent.cdninstagram.com:abc/x",
    "https://scontent。cdninstagram.com.evil.example/x",
    "https://scontent.cdninstagram.com\x00.evil.example/x",
    "https://scontent.cdninstagram.com\r\nHost: evil/x",
    "https://" + "a" * 5_000 + ".cdninstagram.com.evil/x",
    "https://10.0.0.1/x",
    "https://172.31.255.1/x",
    "https://192.168.0.1/x",
    "https://127.1/x",
    "https://0177.0.0.1/x",
    "https://0x7f000001/x",
    "https://127.0.0.1.nip.io/x",
    "https://[fe80::1%25eth0]/x",
    "https://[fd00::1]/x",
    "https://[::127.0.0.1]/x",
    "https://[::ffff:7f00:1]/x",
    "https://[64:ff9b::a9fe:a9fe]/x",
    "https://[64:ff9b:1::7f00:1]/x",
    "https://[2002:7f00:1::]/x",
    "https://[2002:a9fe:a9fe::]/x",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/x",
    "https://metadata.google.internal/x",
    "https://scontent.cdninstagram.com./x",
    "https://scontent.cdninstagram.com%00.evil.example/x",
    "https://scontent.cdninstagram.com%2eevil.example/x",
    "https://scontent.cdninstagram.com%2f@127.0.0.1/x",
    "https://scontent.cdninstagram.com:443@127.0.0.1/x",
    "https://scontent.cdninstagram.com\\@127.0.0.1/x",
    "https://scontent.cdninstagram.com@127.0.0.1:443/x",
    "https://user:pass@word@scontent.cdninstagram.com/x",
    "https://@scontent.cdninstagram.com@127.0.0.1/x",
    "https://127.0.0.1#.cdninstagram.com/x",
    "https://127.0.0.1?.cdninstagram.com/x",
    "https://127.0.0.1\\.cdninstagram.com/x",
    "https://127.0.0.1\t.cdninstagram.com/x",
    "https:\\\\127.0.0.1\\x",
    "gopher://127.0.0.1:11211/x",
    "blob:https://scontent.cdninstagram.com/x",
    "javascript:alert(1)",
    "data:image/png;base64,AAAA",
]


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_an_address_that_is_not_public_gets_no_socket(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(PermissionError):
        GUARD.make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_gets_one(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    GUARD.make_socket((family, socket.SOCK_STREAM, 6, "", (address, 443))).close()


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_a_url_elsewhere_is_refused_before_anything_is_resolved(url: str) -> None:
    with pytest.raises(ForbiddenAddressError) as caught:
        GUARD.check_url(url)
    assert len(str(caught.value)) < 300
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_a_redirect_elsewhere_is_refused_too(url: str) -> None:
    base = URL("https://scontent.cdninstagram.com/v/a.jpg")
    if url in {"", "/etc/passwd", "https://", "https:///x"}:  # relative: the same host
        assert GUARD.check_url(url, base=base).host == base.host
        return
    with pytest.raises(ForbiddenAddressError):
        GUARD.check_url(url, base=base)


def test_the_cdns_hosts_are_let_through_with_their_signature_untouched() -> None:
    url = "https://scontent-fra3-1.cdninstagram.com/v/t51/1_n.jpg?oh=00_Ab%2Fc&oe=6745&x=%E2%82%AC"
    assert str(GUARD.check_url(url)) == url
    assert GUARD.check_url("https://VIDEO.fbcdn.net:443/a.mp4").host == "video.fbcdn.net"


def test_the_simulator_is_let_through_at_its_own_address_only() -> None:
    guard = AddressGuard(("cdninstagram.com",), simulator=URL("http://127.0.0.1:8990"))
    assert guard.check_url("http://127.0.0.1:8990/_cdn/1_n.jpg")
    for url in (
        "http://127.0.0.1:8991/x",
        "https://127.0.0.1:8990/x",
        "http://u@127.0.0.1:8990/x",
        "http://localhost:8990/x",
    ):
        with pytest.raises(ForbiddenAddressError):
            guard.check_url(url)
    guard.make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 8990))).close()
    for target in (("127.0.0.1", 22), ("10.0.0.1", 8990), ("127.0.0.2", 8990)):
        with pytest.raises(PermissionError):
            guard.make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", target))
