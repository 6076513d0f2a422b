"""Who an account's people are and when they are online: demographics and online_followers.

Drawn from the account's size; whether they may be asked for is `insight_rules`' part.
"""

from datetime import date
from itertools import product
from typing import Any

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.chance import between

# Fewer people than this have no demographics (facts §1.2); the API shows the largest groups only (facts §1.1).
FEWEST = 100
LARGEST_GROUPS = 45

_WEIGHTS: dict[str, dict[str, float]] = {
    "country": dict.fromkeys(
        [
            "US",
            "GB",
            "DE",
            "FR",
            "CZ",
            "ES",
            "IT",
            "BR",
            "JP",
            "IN",
            "CA",
            "AU",
            "NL",
            "SE",
            "PL",
            "AT",
            "CH",
            "PT",
            "MX",
            "KR",
            "IE",
            "BE",
            "DK",
            "NO",
            "FI",
            "GR",
            "HU",
            "RO",
            "TR",
            "AR",
            "CL",
            "CO",
            "ZA",
            "EG",
            "MA",
            "NZ",
            "SG",
            "HK",
            "TW",
            "TH",
            "ID",
            "PH",
            "VN",
            "UA",
            "BG",
            "HR",
            "SI",
            "SK",
            "LT",
            "LV",
        ],
        1.0,
    ),
    "city": dict.fromkeys(
        [
            "Prague, Prague",
            "London, England",
            "Berlin, Berlin",
            "Paris, Île-de-France",
            "Madrid, Community of Madrid",
            "Rome, Lazio",
            "New York, New York",
            "Los Angeles, California",
            "Tokyo, Tokyo",
            "Seoul, Seoul",
            "São Paulo, São Paulo (state)",
            "Toronto, Ontario",
            "Sydney, New South Wales",
            "Vienna, Vienna",
            "Brno, South Moravian Region",
            "Lisbon, Lisbon District",
        ],
        1.0,
    ),
    "age": {"13-17": 2, "18-24": 18, "25-34": 38, "35-44": 24, "45-54": 11, "55-64": 5, "65+": 2},
    "gender": {"F": 46, "M": 45, "U": 9},
}
# How many people a metric describes, as a share of the followers.
_PEOPLE = {"follower_demographics": 1.0, "reached_audience_demographics": 0.5, "engaged_audience_demographics": 0.06}


def people_behind(account: Account, metric: str) -> int:
    """How many people a demographic metric describes."""
    known = account.known_people.get(metric)
    return int(account.followers_count() * _PEOPLE[metric]) if known is None else known


def demographics(account: Account, metric: str, breakdowns: tuple[str, ...]) -> list[dict[str, Any]]:
    """`results` of a demographic metric: the largest groups, in no order, as the real ones are."""
    people = people_behind(account, metric)
    cells = list(product(*(_WEIGHTS[name].items() for name in breakdowns)))
    weights = []
    for cell in cells:
        weight = 1.0
        for _, share in cell:
            weight *= share
        weights.append(weight * between(0.02, 1, account.key, metric, *(name for name, _ in cell)) ** 3)
    scale = people / sum(weights)
    counted = [
        {"dimension_values": [name for name, _ in cell], "value": int(weight * scale)}
        for cell, weight in zip(cells, weights, strict=True)
    ]
    largest = sorted(counted, key=lambda result: int(str(result["value"])), reverse=True)[:LARGEST_GROUPS]
    kept = {id(result) for result in largest}
    return [result for result in counted if result["value"] and id(result) in kept]


def online_by_hour(account: Account, day: date) -> dict[str, int]:
    """Followers online in each hour of a Pacific day, keyed "0" to "23"."""
    people = account.followers_count()
    return {
        str(hour): int(people * between(0.05, 0.12, account.key, day, hour) * (1.6 if 7 <= hour <= 21 else 0.6))
        for hour in range(24)
    }
