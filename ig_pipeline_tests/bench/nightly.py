"""A nightly sync of the named accounts, again and again until it is stopped: the neighbour of a benchmark."""

import asyncio
import sys

from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.settings import load_settings
from ig_pipeline.sync.engine import open_services, sync_account_days
from ig_pipeline.sync.plan import trailing_window
from ig_pipeline.sync.results import ASSETS


async def main(keys: list[str]) -> None:
    """Three days of every account, over and over."""
    async with open_services(load_settings()) as services:
        night = 0
        while True:
            night += 1
            window = trailing_window(instagram_day(services.clock()), 3)
            assert window is not None
            cells = dict.fromkeys(keys, window.days)
            async for _ in sync_account_days(services, cells, assets=ASSETS, run_id=f"night-{night}"):
                pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
