"""`ig-pipeline bot`: the Telegram bot, until Ctrl-C. Thin: what it says and does is in `ig_pipeline.bot`."""

import asyncio
import logging

import click
import httpx
import sqlalchemy as sa

from ig_pipeline.bot.bot_api import BotApi, TelegramError
from ig_pipeline.bot.service import Bot
from ig_pipeline.cli.failures import CommandError, ExitCode
from ig_pipeline.cli.stores import open_database, tell_grid
from ig_pipeline.settings import Settings, load_settings


@click.command("bot")
def bot() -> None:
    """Answer /backfill, /status and /help on Telegram until Ctrl-C.

    \b
    Needs IG_PIPELINE_TELEGRAM_TOKEN (from @BotFather) and IG_PIPELINE_TELEGRAM_CHATS, the ids of the chats it serves.
    A chat that is not served is named in this command's output: write to the bot once to learn its id.

    \b
    Examples:
      ig-pipeline bot
      IG_PIPELINE_TELEGRAM_CHATS=12345,-100200300 ig-pipeline bot
    """
    settings = load_settings()
    if settings.telegram_token is None:
        raise CommandError("Set IG_PIPELINE_TELEGRAM_TOKEN; @BotFather on Telegram gives one.", ExitCode.USAGE)
    logging.getLogger("ig_pipeline").setLevel(logging.INFO)
    with open_database(settings) as engine:
        try:
            asyncio.run(_serve(settings, engine))
        except TelegramError as error:
            raise CommandError(str(error)) from None


async def _serve(settings: Settings, engine: sa.Engine) -> None:
    assert settings.telegram_token is not None
    async with httpx.AsyncClient() as http:
        api = BotApi(http, url=settings.telegram_url, token=settings.telegram_token)
        name = await api.name()
        served = len(settings.telegram_chats)
        click.echo(f"@{name} serves {served} chat{'' if served == 1 else 's'}  (Ctrl-C stops it)")
        await Bot(settings, engine, api, tell_grid=tell_grid).run()
