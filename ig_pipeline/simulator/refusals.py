"""What the API says when it refuses: one exception, its words, and the two envelopes.

See docs/graph_api.md#error-messages and docs/graph_api.md#errors-and-what-to-do. When something is refused is decided
where the rule is; here is only what the refusal looks like.
"""

from collections.abc import Sequence
from typing import Any, Literal

Envelope = Literal["OAuthException", "IGApiException"]
Json = dict[str, Any]


class RefusalError(Exception):
    """An answer that is an error.

    `message` is without the `(#code)` prefix; `prefixed` says whether Facebook's envelope puts it in front.
    `extra` are further keys of the error object, `kind` its type where it is not that of the envelope.
    `instagram_message`: what graph.instagram.com says instead: the long text as message.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int,
        subcode: int | None = None,
        status: int = 400,
        prefixed: bool = True,
        kind: str | None = None,
        transient: bool | None = None,
        extra: Json | None = None,
        instagram_message: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.status = status
        self.prefixed = prefixed
        self.kind = kind
        self.transient = transient
        self.extra = extra or {}
        self.instagram_message = instagram_message

    def body(self, envelope: Envelope, trace: str) -> Json:
        """The answer's JSON in the envelope of the host that was asked."""
        if envelope == "IGApiException":
            return self._instagram(trace)
        error: Json = {
            "message": f"(#{self.code}) {self.message}" if self.prefixed else self.message,
            "type": self.kind or "OAuthException",
            "code": self.code,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient is not None:
            error["is_transient"] = self.transient
        return {"error": {**error, **self.extra, "fbtrace_id": trace}}

    def _instagram(self, trace: str) -> Json:
        """Instagram's own envelope: no prefix, no title, no transience; dead tokens keep OAuthException."""
        kind = "OAuthException" if self.code in {190, 104} else "IGApiException"
        error: Json = {"message": self.instagram_message or self.message, "type": kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": {**error, "fbtrace_id": trace}}


class CodeRefusalError(Exception):
    """A refusal of Instagram Login's code endpoint, which has an envelope of its own."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error_type": "OAuthException", "code": status, "error_message": message}


# ---- requests ------------------------------------------------------------------------------------------------------


def not_one_of(parameter: str, values: Sequence[str]) -> RefusalError:
    """A value outside its list; `parameter` is `metric[1]` or `period`, for example."""
    return RefusalError(f"{parameter} must be one of the following values: {', '.join(values)}", code=100)


def parameter_missing(name: str) -> RefusalError:
    """A required parameter is missing."""
    return RefusalError(f"The parameter {name} is required", code=100)


def needs_total_value(metrics: Sequence[str]) -> RefusalError:
    """Metrics that exist only as totals, asked for without saying so (recorded)."""
    names = ",".join(metrics)
    return RefusalError(
        f"The following metrics ({names}) should be specified with parameter metric_type=total_value", code=100
    )


def incompatible_type(metrics: Sequence[str], metric_type: str) -> RefusalError:
    """Metrics that cannot be had in this type (docs/graph_api.md#error-messages)."""
    names = ",".join(metrics)
    return RefusalError(
        f"The following metric ({names}) is incompatible with the metric type ({metric_type})", code=100
    )


def incompatible_period(metrics: Sequence[str], period: str) -> RefusalError:
    """Metrics that do not have this period."""
    return RefusalError(
        f"The following metric ({','.join(metrics)}) is incompatible with the period ({period})", code=100
    )


def incompatible_breakdown(breakdown: str, metric: str) -> RefusalError:
    """A breakdown the metric does not have, as graph.instagram.com says it."""
    return RefusalError(f"Incompatible breakdowns ({breakdown}) for metric ({metric})", code=100)


def unknown_error() -> RefusalError:
    """What Facebook's host says to an unsupported breakdown, and to any error inside."""
    return RefusalError("An unknown error occurred", code=1, status=500, prefixed=False)


def too_long_range() -> RefusalError:
    """More than thirty days."""
    return RefusalError("There cannot be more than 30 days (2592000 s) between since and until.", code=100)


def too_old() -> RefusalError:
    """A window that begins more than two years ago (reported live and by other connectors; never recorded)."""
    return RefusalError("since param is not valid. Metrics data is available for the last 2 years", code=100)


def follower_count_too_old() -> RefusalError:
    """`follower_count` before its thirty days."""
    return RefusalError(
        "(follower_count) metric only supports querying data for the last 30 days excluding the current day", code=100
    )


def metric_removed(metric: str, *, subject: str) -> RefusalError:
    """The wording of early 2025 for `impressions`; `subject` is `user` or `media`."""
    return RefusalError(
        f"Starting from version 22 and above, the {metric} metric is no longer supported for the queried {subject}. "
        f"Please refer to the documentation at https://developers.facebook.com/docs/instagram-api/reference/"
        f"ig-{subject}/insights for a list of supported metrics.",
        code=100,
    )


def not_enough_users() -> RefusalError:
    """Demographics of too few people (recorded)."""
    return RefusalError(
        "Not enough users",
        code=10,
        subcode=2874010,
        prefixed=False,
        transient=False,
        extra={
            "error_user_title": "Demographic data isn't available",
            "error_user_msg": "You can learn about your audience once this metric has more than 100 people "
            "in each breakdown.",
        },
    )


# ---- media ---------------------------------------------------------------------------------------------------------

_CONVERSION = (
    "The media was posted before the most recent time that the user's account was converted to a business account "
    "from a personal account."
)


def before_conversion() -> RefusalError:
    """Insights of a post from before the account's conversion (docs/graph_api.md#posts-from-before-the-conversion)."""
    return RefusalError(
        "Invalid parameter",
        code=100,
        subcode=2108006,
        prefixed=False,
        transient=False,
        extra={
            "error_data": {"blame_field_specs": [[""]]},
            "error_user_title": "Media posted before business account conversion",
            "error_user_msg": _CONVERSION,
        },
        instagram_message=_CONVERSION,
    )


def not_for_product_type(metric: str) -> RefusalError:
    """A metric this kind of post does not have."""
    return RefusalError(
        f"The Media Insights API does not support the {metric} metric for this media product type.", code=100
    )


def not_shared_to_facebook() -> RefusalError:
    """A count of views on Facebook for a post that is not there (reported live): a single word and no metric's name."""
    return RefusalError("Fatal", code=-1, subcode=2207086, prefixed=False)


def too_few_viewers() -> RefusalError:
    """A story seen by fewer than five."""
    return RefusalError("Not enough viewers for the media to show insights", code=10)


# ---- objects and permissions ---------------------------------------------------------------------------------------


def no_such_object(object_id: str) -> RefusalError:
    """Deleted, never there, or not for this token: the API does not say which."""
    return RefusalError(
        f"Unsupported get request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        f"permissions, or does not support this operation. Please read the Graph API documentation at "
        f"https://developers.facebook.com/docs/graph-api",
        code=100,
        subcode=33,
        prefixed=False,
        kind="GraphMethodException",
        instagram_message="Unsupported get request. Object with ID '"
        + object_id
        + "' does not exist, cannot be loaded due to missing permissions, or does not support this operation",
    )


def no_such_field(name: str) -> RefusalError:
    """A field or edge that exists elsewhere, not here (recorded)."""
    return RefusalError(f"Tried accessing nonexisting field ({name})", code=100)


def unknown_path(path: str) -> RefusalError:
    """A path that exists nowhere (recorded)."""
    return RefusalError(f"Unknown path components: {path}", code=2500, prefixed=False)


def bad_syntax(detail: str) -> RefusalError:
    """A field list that cannot be read."""
    return RefusalError(f"Syntax error {detail}", code=2500, prefixed=False)


def no_permission() -> RefusalError:
    """A scope is missing (recorded; HTTP 400, not 403)."""
    return RefusalError("Application does not have permission for this action", code=10)


def unsupported_method(method: str) -> RefusalError:
    """A method this path does not have; also how Instagram refuses an exchange without its scope."""
    return RefusalError(f"Unsupported request - method type: {method.lower()}", code=100, prefixed=False)


# ---- tokens --------------------------------------------------------------------------------------------------------


def token_required() -> RefusalError:
    """A call without a token."""
    return RefusalError("An access token is required to request this resource.", code=104, prefixed=False)


def token_required_for_me() -> RefusalError:
    """`/me` without a token (reported in many places): a code of its own."""
    return RefusalError(
        "An active access token must be used to query information about the current user.", code=2500, prefixed=False
    )


def token_dead(message: str, subcode: int | None) -> RefusalError:
    """A token that was good once (docs/graph_api.md#errors-and-what-to-do: 190 and its subcodes)."""
    return RefusalError(f"Error validating access token: {message}", code=190, subcode=subcode, prefixed=False)


def token_unreadable() -> RefusalError:
    """A token Meta never gave out."""
    return RefusalError("Invalid OAuth access token - Cannot parse access token", code=190, prefixed=False)


def proof_missing(*, page: bool) -> RefusalError:
    """The app requires `appsecret_proof` and none came."""
    if page:
        return RefusalError("Pages Public Content Access requires either app secret proof or an app token", code=100)
    return RefusalError(
        "API calls from the server require an appsecret_proof argument",
        code=100,
        prefixed=False,
        kind="GraphMethodException",
    )


def proof_wrong() -> RefusalError:
    """An `appsecret_proof` made with another secret or for another token."""
    return RefusalError(
        "Invalid appsecret_proof provided in the API argument",
        code=100,
        prefixed=False,
        kind="GraphMethodException",
    )


# ---- the app itself ------------------------------------------------------------------------------------------------


def app_switched_off() -> RefusalError:
    """The app is switched off until its operator acts: an error with HTTP 200."""
    return RefusalError(
        "API access deactivated. To reactivate, go to the app dashboard.", code=200, status=200, prefixed=False
    )


def app_blocked() -> RefusalError:
    """The same, in fewer words."""
    return RefusalError("API access blocked.", code=200, prefixed=False)


def app_deleted() -> RefusalError:
    """The app is gone; it comes with the code of dead tokens."""
    return RefusalError("Error validating application. Application has been deleted.", code=190, prefixed=False)


def app_in_development() -> RefusalError:
    """The app is not live, and the account's owner has no role on it. The words are the dialog's."""
    return RefusalError(
        "This app is still in development mode, and you don't have access to it. Switch to a registered test user or "
        "ask an app admin for permissions.",
        code=200,
    )


# ---- limits --------------------------------------------------------------------------------------------------------


def account_limit() -> RefusalError:
    """Business use case limit of one Instagram account."""
    return RefusalError(
        "There have been too many calls to this Instagram account. Wait a bit and try again. For more info, please "
        "refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.",
        code=80002,
        subcode=2446079,
    )


def app_limit() -> RefusalError:
    """Limit of the whole app: 403 and called transient (recorded)."""
    return RefusalError("Application request limit reached", code=4, status=403, transient=True)
