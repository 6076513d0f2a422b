"""What a failed run says: each account's reason, and a fault of the app once."""

from datetime import date

from ig_pipeline.bot import messages
from ig_pipeline.defs.failures import failure_of
from ig_pipeline.sync.media_files.results import BackfillResult, Tally
from ig_pipeline.sync.results import AccountDayResult

DAY = date(2026, 11, 19)
FAULT = "Meta refuses the app itself: API access blocked. Its operator has to act."


def failed(account_key: str, error: str, error_type: str) -> AccountDayResult:
    return AccountDayResult("account_insights", account_key, DAY, "failed", error=error, error_type=error_type)


def test_a_fault_of_the_app_is_told_once_for_all_its_accounts() -> None:
    failure = failure_of([failed(key, FAULT, "AppFaultError") for key in ("ana", "bea", "cid")])
    assert failure is not None
    assert failure.description == f"3 of 3 cells failed. {FAULT}"
    table = str(failure.metadata["failed"].value)
    assert table.count("API access blocked") == 1
    assert "| ana, bea, cid |" in table


def test_an_accounts_own_reason_is_told_beside_it() -> None:
    results = [failed("ana", FAULT, "AppFaultError"), failed("bea", "Access to bea has ended.", "TokenDeadError")]
    failure = failure_of(results)
    assert failure is not None
    assert failure.description == f"2 of 2 cells failed. {FAULT} bea: Access to bea has ended."


def test_the_bot_tells_it_once() -> None:
    results = [BackfillResult(key, "failed", Tally(), 1, 0.1, FAULT, "AppFaultError") for key in ("ana", "bea")]
    assert messages.outcome(results, dry_run=False).count("API access blocked") == 1
