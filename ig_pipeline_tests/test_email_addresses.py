"""What counts as an e-mail address: nothing invisible, nothing a terminal obeys, nothing that turns writing round."""

import pytest

from ig_pipeline.email_addresses import EmailAddressError, normalized

HIDDEN = {
    "NUL": "\x00", "escape": "\x1b[2J", "C1 control": "\x9b2J", "delete": "\x7f", "new line": "\n", "return": "\r",
    "right-to-left override": "\u202e", "isolate": "\u2066", "mark": "\u200f", "Arabic mark": "\u061c",
    "zero-width space": "\u200b", "non-joiner": "\u200c", "joiner": "\u200d", "word joiner": "\u2060",
    "byte order mark": "\ufeff", "soft hyphen": "\u00ad", "tag": "\U000e0061", "line separator": "\u2028",
    "no-break space": "\u00a0", "ideographic space": "\u3000", "Hangul filler": "\u3164", "half filler": "\uffa0",
    "variation selector": "\ufe0f", "grapheme joiner": "\u034f", "blank pattern": "\u2800", "surrogate": "\ud800",
    "private": "\ue000", "unassigned": "\u0378", "interlinear": "\ufff9",
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_what_cannot_be_seen_or_is_obeyed_is_refused(name: str) -> None:
    for address in (f"a{HIDDEN[name]}b@b.example", f"a@b{HIDDEN[name]}b.example"):
        with pytest.raises(EmailAddressError) as refused:
            normalized(address)
        assert HIDDEN[name] not in str(refused.value)


@pytest.mark.parametrize("text", ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", '"a"@b', "a<b>@c", "a@" + "b" * 250])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EmailAddressError):
        normalized(text)


def test_addresses_are_trimmed_and_in_lower_case_whatever_their_script() -> None:
    assert normalized(" A.B+c@Ex-Ample.example ") == "a.b+c@ex-ample.example"
    assert normalized("用户@例え.example") == "用户@例え.example"
    assert normalized("jürgen@bücher.example") == "jürgen@bücher.example"
