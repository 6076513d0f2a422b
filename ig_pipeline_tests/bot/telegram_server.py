"""A small Telegram on a loopback socket: it keeps the chats' messages as people would see them, edits included."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "12345:canary-telegram-token"


@dataclass
class Telegram:
    """What people wrote, what they see, and how often a message was written anew."""

    url: str = ""
    updates: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[int, tuple[int, str]] = field(default_factory=dict)
    edits: list[str] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def write(self, chat: int, text: str) -> None:
        update = {"update_id": len(self.updates) + 1, "message": {"chat": {"id": chat}, "text": text}}
        self.updates.append(update)

    def seen_in(self, chat: int) -> list[str]:
        return [text for where, text in self.messages.values() if where == chat]

    def answer(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.refusals and method in ("sendMessage", "editMessageText"):
            return self.refusals.pop(0)
        if method == "getMe":
            return {"ok": True, "result": {"id": 1, "is_bot": True, "username": "library_bot"}}
        if method == "getUpdates":
            return {"ok": True, "result": [u for u in self.updates if u["update_id"] >= arguments["offset"]]}
        if method == "sendMessage":
            number = len(self.messages) + 1
            self.messages[number] = (arguments["chat_id"], arguments["text"])
            return {"ok": True, "result": {"message_id": number}}
        number = arguments["message_id"]
        if self.messages[number][1] == arguments["text"]:
            return {"ok": False, "error_code": 400, "description": "Bad Request: message is not modified: same text"}
        self.messages[number] = (arguments["chat_id"], arguments["text"])
        self.edits.append(arguments["text"])
        return {"ok": True, "result": {"message_id": number}}


@contextmanager
def running_telegram() -> Iterator[Telegram]:
    """A server that knows one bot."""
    telegram = Telegram()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arguments = json.loads(self.rfile.read(int(self.headers["content-length"])))
            _, bot, method = self.path.split("/")
            known = bot == f"bot{TOKEN}"
            answer = telegram.answer(method, arguments) if known else _UNAUTHORIZED
            body = json.dumps(answer).encode()
            self.send_response(200 if answer["ok"] else answer["error_code"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        telegram.url = f"http://127.0.0.1:{server.server_port}"
        yield telegram
        server.shutdown()


_UNAUTHORIZED: dict[str, Any] = {"ok": False, "error_code": 401, "description": "Unauthorized"}
