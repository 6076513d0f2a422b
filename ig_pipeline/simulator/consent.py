"""Both consent dialogs: who may agree, to what, and where the browser goes afterwards (facts §3.1, §3.2)."""

from urllib.parse import urlencode, urlsplit, urlunsplit

from ig_pipeline.simulator.codes import Codes, Consent
from ig_pipeline.simulator.consent_page import Choice, consent_page, sorry_page
from ig_pipeline.simulator.requests import Answer, Call
from ig_pipeline.simulator.tokens import ALL_SCOPES, Login
from ig_pipeline.simulator.world import Person, World

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
            return Answer(400, sorry_page(login, problem), content_type=_HTML)
        if call.method != "POST":
            return Answer(200, self._page(login, call), content_type=_HTML)
        if params.get("do") != "continue":
            return _back(login, params, _declined(login))
        subject = self.subject(login, params.get("as", ""))
        if subject is None:
            return Answer(400, sorry_page(login, "Nobody was chosen to continue as."), content_type=_HTML)
        scopes = frozenset(params.get("granted", "").split(","))
        code = self._codes.give(Consent(login, subject, params["redirect_uri"], scopes, call.now))
        return _back(login, params, {"code": code})

    def subject(self, login: Login, name: str) -> str | None:
        """The id behind a choice: a username, or `agency` for the person with every Page; None for nobody."""
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
        return consent_page(login, action=action, hidden=hidden, choices=choices, scopes=known)

    def _accounts(self) -> list[Choice]:
        return [Choice(a.username, f"@{a.username}", a.profile.name or "") for a in self._world.accounts]

    def _people(self) -> list[Choice]:
        owners = [
            Choice(account.username, account.user_name, _pages(self._world.owner_of(account)))
            for account in self._world.accounts
        ]
        agency = Choice("agency", self._world.agency.name, f"all {len(self._world.accounts)} Pages")
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
