"""What kind of answer a caller would like: a page, JSON or CSV. Reads the Accept header and nothing else."""

from starlette.requests import Request


def wants_page(request: Request) -> bool:
    """Whether the caller is a browser: HTML is named, and preferred to JSON."""
    return _quality(request, "text/html") > _quality(request, "application/json")


def wants_csv(request: Request) -> bool:
    """Whether CSV is named, and preferred to JSON."""
    return _quality(request, "text/csv") > _quality(request, "application/json")


def _quality(request: Request, media_type: str) -> float:
    """The weight of `media_type`, 0 when it is not named; wildcards name nothing."""
    for part in request.headers.get("accept", "").split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() == media_type:
            return _weight(parameters)
    return 0.0


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return max(0.0, min(1.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
