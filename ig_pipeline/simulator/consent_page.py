"""The page on which a person lets an app read their Instagram: HTML that works without JavaScript.

Shows and nothing else; what a click means is decided in `consent`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ig_pipeline.simulator.tokens import Login

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
class Choice:
    """Somebody one can continue as."""

    value: str
    title: str
    detail: str


def consent_page(
    login: Login, *, action: str, hidden: dict[str, str], choices: Sequence[Choice], scopes: Sequence[str]
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


def sorry_page(login: Login, message: str) -> str:
    """What is shown for a dialog that was opened wrongly."""
    return _document(login, title="This cannot go on", body=f"<h1>This cannot go on</h1><p>{escape(message)}</p>")


def _document(login: Login, *, title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head>"
        f'<body class="{login}"><main><span class="mark"></span>{body}'
        f'<p class="note">A simulated {_NAMES[login]}: nobody real is asked, nothing leaves this machine.</p>'
        "</main></body></html>"
    )
