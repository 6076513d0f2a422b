"""Whether a port is free, and what to tell the person when it is not."""

import socket


class PortInUseError(Exception):
    """Something else listens there; the message names the port and what to do."""


def require_free(host: str, port: int, *, option: str = "--port") -> None:
    """Raise `PortInUseError` when nothing can be served at `host:port`."""
    if is_free(host, port):
        return
    other = next((p for p in range(port + 1, port + 100) if is_free(host, p)), None)
    advice = f", or choose another: {option} {other}" if other else ""
    raise PortInUseError(
        f"Port {port} on {host} is in use. Stop what listens there (`lsof -i :{port}` names it){advice}."
    )


def is_free(host: str, port: int) -> bool:
    """Whether `host:port` can be bound. A port left by a process that just ended counts as free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def local_address(host: str, port: int) -> str:
    """Where this machine reaches what listens on `host:port`: an address that means all of them is none."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
