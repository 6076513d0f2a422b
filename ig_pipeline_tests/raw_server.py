"""A server on loopback that sends exactly the bytes it is told to, as slowly as it is told to."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

Script = Callable[[socket.socket], None]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP answer with its length, after which the connection closes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sending(*parts: bytes) -> Script:
    """Sends `parts`, then closes."""

    def run(peer: socket.socket) -> None:
        for part in parts:
            peer.sendall(part)

    return run


@contextmanager
def raw_server(script: Script) -> Iterator[str]:
    """Its address. Every connection gets `script` once its request has arrived."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(peer: socket.socket) -> None:
            with peer:
                try:
                    received = b""
                    while b"\r\n\r\n" not in received and (more := peer.recv(65536)):
                        received += more
                    script(peer)
                    # Closing with unread bytes of the request would reset the connection under the answer.
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    return  # the client has had enough

        def accept() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                Thread(target=serve, args=(peer,), daemon=True).start()

        accepting = Thread(target=accept, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
