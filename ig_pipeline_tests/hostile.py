"""Text that a stranger could write, by what it is after. `stored` is what a database is to hold of it."""

EVIL = "evil.example"

CAPTIONS = {
    "separators": "a/b\\c:d;e|f",
    "parent folder": "../../../../etc/passwd",
    "nul": "before\x00after",
    "half of a pair": "a cut emoji \ud83d and another \ude00",
    "right to left": "invoice\u202egpj.exe \u2066x\u2069",
    "terminal": "\x1b[2J\x1b]0;title\x07\x1b[31mred \x9b31m \x08\x08",
    "line breaks": "a\r\nSet-Cookie: b=c\u2028d\u2029e\x85f",
    "5,000 characters": "x" * 5_000,
    "sql": "'; drop table users; --",
    "format": "%s %(x)s {0} {x!r}",
    "template": "{{ 7*7 }}{% for x in y %}${7*7}<%= 7*7 %>",
    "formula": "=HYPERLINK(\"https://evil.example\")",
    "formula +": "+1+cmd|' /C calc'!A0",
    "formula -": "-2+3+cmd|' /C calc'!A0",
    "formula @": "@SUM(1+1)*cmd|' /C calc'!A0",
    "markdown": "![x](https://evil.example/p.png) [click](javascript:alert(1)) `x` | a | b |\n# big",
    "telegram": "*bold* _it_ <b>x</b> [a](tg://user?id=1) @everyone /backfill",
    "attribute": "\" onmouseover=\"alert('evil.example')\" x=\"",
    "html": "<script src=https://evil.example></script><img src=x onerror=alert(1)>",
    "end of a tag": "</p></li></ol></main><iframe src=https://evil.example>",
}  # fmt: skip

# Username → the key that Dagster, the command line, a CSV and a path get to see.
USERNAMES = {
    "../../etc": "_.._etc",
    "a/b\\c": "a_b_c",
    "nul\x00here": "nulhere",
    "x\ud83d": "x_",
    "\x1b[2Jred": "_2Jred",
    "\u202egpj.exe": "gpj.exe",
    "=cmd|'x'!A1": "_cmd__x__A1",
    "-rf": "rf",
    "+1": "_1",
    "@SUM": "_SUM",
    "<script>": "_script_",
    "a|2026-01-01": "a_2026-01-01",
    "x" * 5_000: "x" * 60,
    "\uff41cme": "_cme",
}


def stored(text: str) -> str:
    """`text` without what no database takes."""
    return text.replace("\x00", "").replace("\ud83d", "?").replace("\ude00", "?")
