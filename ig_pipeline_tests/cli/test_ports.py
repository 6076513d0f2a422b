"""A port in use is named, with what to do."""

import socket

import pytest

from ig_pipeline.cli.children import PortInUseError, free_port, is_free, require_free


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(PortInUseError, match=rf"Port {port} on 127\.0\.0\.1 is in use\..*--port \d+"):
            require_free("127.0.0.1", port)


def test_a_free_port_is_let_through() -> None:
    require_free("127.0.0.1", free_port())
