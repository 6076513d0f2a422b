"""Both consent dialogs: their page, who may agree to what, and the code that the browser takes back to the app.

A code is for one use, one hour and one redirect address (docs/graph_api.md#instagram-login). The page works without
JavaScript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from itertools import count
from urllib.parse import urlencode, urlsplit, urlunsplit

from ig_pipeline.simulator.draws import opaque
from ig_pipeline.simulator.requests import Answer, Call
from ig_pipeline.simulator.tokens import ALL_SCOPES, Login
from ig_pipeline.simulator.world import Person, World

CODE_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Consent:
    """What a person agreed to. `subject`: the person's id on Facebook, the account's on Instagram."""

    login: Login
    subject: str
    redirect_uri: str
    scopes: frozenset[str]
    given_at: datetime


class CodeError(Exception):
    """A code that gives no token; `reason` is unknown, used, expired or redirect."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Codes:
    """The codes given out since the start."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = count()
        self._open: dict[str, Consent] = {}
        self._used: set[str] = set()

    def give(self, consent: Consent) -> str:
        """A code for a consent."""
        code = "AQ" + opaque(180, self._seed, consent.subject, consent.given_at, next(self._numbers), "code")
        self._open[code] = consent
        return code

    def take(self, code: str, *, login: Login, redirect_uri: str, now: datetime) -> Consent:
        """The consent behind a code, which is spent by asking. Raises CodeError."""
        if code in self._used:
            raise CodeError("used")
        consent = self._open.get(code)
        if consent is None or consent.login != login:
            raise CodeError("unknown")
        if consent.redirect_uri != redirect_uri:
            raise CodeError("redirect")
        del self._open[code]
        self._used.add(code)
        if now - consent.given_at >= CODE_LIFE:
            raise CodeError("expired")
        return consent


# ---- the page ------------------------------------------------------------------------------------------------------

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#65676b;--line:#dadde1;--paper:#fff;--ground:#f0f2f5;--main:#0866ff}
@media(prefers-color-scheme:dark){:root{--ink:#e4e6eb;--soft:#b0b3b8;--line:#3a3b3c;--paper:#242526;--ground:#18191a}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;display:grid;place-items:center;min-height:100vh}
main{background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:28px;margin:16px;
width:min(460px,calc(100vw - 32px));box-shadow:0 8px 28px #0001}
h1{font-size:1.25rem;margin:.2em 0 .4em}p{color:var(--soft);margin:.3em 0 1em}
.mark{display:inline-block;width:38px;height:38px;border-radius:11px;background:var(--main)}
.instagram{--main:#d6246e}.instagram .mark{background:linear-gradient(45deg,#fdbb4a,#e4405f,#7232bd)}
fieldset{min-width:0;border:1px solid var(--line);border-radius:10px;margin:0 0 16px;padding:6px 14px 10px;
max-height:40vh;
overflow:auto}legend{font-weight:600;padding:0 6px}
label{display:flex;gap:10px;align-items:flex-start;padding:7px 0;cursor:pointer}
input{margin-top:.3em;accent-color:var(--main)}
small{overflow-wrap:anywhere;color:var(--soft);display:block}.row{display:flex;gap:10px;justify-content:flex-end}
button{font:inherit;font-weight:600;border-radius:9px;border:1px solid var(--line);padding:.55em 1.2em;background:none;
color:inherit;cursor:pointer}button[value=continue]{background:var(--main);border-color:var(--main);color:#fff}
button:focus-visible,input:focus-visible{outline:3px solid #8ab4ff;outline-offset:2px}
.note{font-size:.85rem;border-top:1px solid var(--line);padding-top:12px;margin:18px 0 0}
"""
_NAMES: dict[Login, str] = {"facebook": "Facebook", "instagram": "Instagram"}
_MEANINGS = {
    "instagram_basic": "your Instagram profile and posts",
    "instagram_manage_insights": "the insights of your account and posts",
    "pages_show_list": "the list of Pages you manage",
    "pages_read_engagement": "what is published on those Pages",
    "business_management": "Pages that belong to a business",
    "instagram_business_basic": "your profile and posts",
    "instagram_business_manage_insights": "the insights of your account and posts",
}


@dataclass(frozen=True)
class _Choice:
    """A person or account one can continue as."""

    value: str
    title: str
    detail: str


def _consent_page(
    login: Login, *, action: str, hidden: dict[str, str], choices: Sequence[_Choice], scopes: Sequence[str]
) -> str:
    """The form. It posts `hidden`, `as` (a choice), `scope` (each ticked) and `do` (continue or cancel) to `action`."""
    inputs = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in hidden.items())
    people = "".join(
        f'<label><input type="radio" name="as" value="{escape(choice.value)}"{" checked" if n == 0 else ""}>'
        f"<span>{escape(choice.title)}<small>{escape(choice.detail)}</small></span></label>"
        for n, choice in enumerate(choices)
    )
    ticks = "".join(
        f'<label><input type="checkbox" name="granted" value="{escape(scope)}" checked>'
        f"<span>{escape(_MEANINGS.get(scope, scope.replace('_', ' ')))}<small>{escape(scope)}</small></span></label>"
        for scope in scopes
    )
    return _document(
        login,
        title=f"Continue with {_NAMES[login]}",
        body=f"<h1>Let the app read your Instagram?</h1><p>It asks to see what is ticked below.</p>"
        f'<form method="post" action="{escape(action)}">{inputs}'
        f"<fieldset><legend>Continue as</legend>{people}</fieldset>"
        f"<fieldset><legend>It will see</legend>{ticks}</fieldset>"
        f'<div class="row"><button name="do" value="cancel">Cancel</button>'
        f'<button name="do" value="continue">Continue</button></div></form>',
    )


def _error_page(login: Login, message: str) -> str:
    """What is shown for a dialog that was opened wrongly."""
    return _document(login, title="This cannot go on", body=f"<h1>This cannot go on</h1><p>{escape(message)}</p>")


def _document(login: Login, *, title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head>"
        f'<body class="{login}"><main><span class="mark"></span>{body}'
        f'<p class="note">A simulated {_NAMES[login]}: no real person is asked, nothing leaves this machine.</p>'
        "</main></body></html>"
    )


# ---- the dialogs ---------------------------------------------------------------------------------------------------

DIALOGS: dict[str, Login] = {"dialog/oauth": "facebook", "oauth/authorize": "instagram"}
_HTML = "text/html; charset=utf-8"
# What each appends to the address it sends the browser back to.
_FRAGMENTS: dict[Login, str] = {"facebook": "_=_", "instagram": "_"}
_CARRIED = ("client_id", "redirect_uri", "state", "response_type")


class Dialogs:
    """The dialogs of a world."""

    def __init__(self, world: World, codes: Codes) -> None:
        self._world = world
        self._codes = codes

    def answer(self, call: Call) -> Answer:
        """The page for a GET; for its POST the way back to the app."""
        login, params = DIALOGS[call.path], call.params
        if problem := self._problem(params):
            return Answer(400, _error_page(login, problem), content_type=_HTML)
        if call.method != "POST":
            return Answer(200, self._page(login, call), content_type=_HTML)
        if params.get("do") != "continue":
            return _back(login, params, _declined(login))
        subject = self.subject(login, params.get("as", ""))
        if subject is None:
            return Answer(400, _error_page(login, "No one was chosen to continue as."), content_type=_HTML)
        scopes = frozenset(params.get("granted", "").split(","))
        code = self._codes.give(Consent(login, subject, params["redirect_uri"], scopes, call.now))
        return _back(login, params, {"code": code})

    def subject(self, login: Login, name: str) -> str | None:
        """The id behind a choice: a username, or `agency` for the person with every Page; None for neither."""
        if login == "facebook" and name == "agency":
            return self._world.agency.id
        try:
            account = self._world.account(name)
        except KeyError:
            return None
        return account.user_id if login == "facebook" else account.id

    def _problem(self, params: dict[str, str]) -> str | None:
        if params.get("client_id") != self._world.app_id:
            return "Invalid App ID: The provided app ID does not look like a valid app ID."
        address = urlsplit(params.get("redirect_uri", ""))
        if address.scheme not in {"http", "https"} or not address.netloc:
            return "The redirect_uri of this request is missing or is not an address."
        if params.get("response_type", "code") != "code":
            return "This app can only ask for response_type=code."
        return None

    def _page(self, login: Login, call: Call) -> str:
        params = call.params
        asked = [scope for scope in params.get("scope", "").replace(" ", ",").split(",") if scope]
        known = [scope for scope in asked if scope in ALL_SCOPES]
        choices = self._people() if login == "facebook" else self._accounts()
        hidden = {name: params[name] for name in _CARRIED if name in params}
        action = f"/{call.version}/{call.path}" if login == "facebook" else f"/{call.path}"
        return _consent_page(login, action=action, hidden=hidden, choices=choices, scopes=known)

    def _accounts(self) -> list[_Choice]:
        return [_Choice(a.username, f"@{a.username}", a.profile.name or "") for a in self._world.accounts]

    def _people(self) -> list[_Choice]:
        owners = [
            _Choice(account.username, account.user_name, _pages(self._world.owner_of(account)))
            for account in self._world.accounts
        ]
        agency = _Choice("agency", self._world.agency.name, f"all {len(self._world.accounts)} Pages")
        return [*owners, agency] if len(owners) > 1 else owners


def _pages(person: Person) -> str:
    names = [f"{page.name} (@{page.account.username})" if page.account else page.name for page in person.pages]
    return f"Pages: {', '.join(names)}"


def _declined(login: Login) -> dict[str, str]:
    declined = {
        "error": "access_denied",
        "error_reason": "user_denied",
        "error_description": "The user denied your request",
    }
    return {**declined, "error_code": "200"} if login == "facebook" else declined


def _back(login: Login, params: dict[str, str], added: dict[str, str]) -> Answer:
    """The redirect to the app's address, its own query kept, the state returned."""
    address = urlsplit(params["redirect_uri"])
    state = {"state": params["state"]} if "state" in params else {}
    query = "&".join(part for part in (address.query, urlencode({**added, **state})) if part)
    fragment = _FRAGMENTS[login] if "code" in added else ""
    location = urlunsplit((address.scheme, address.netloc, address.path or "/", query, fragment))
    return Answer(302, "", {"location": location}, content_type=_HTML)
