"""The page's calls made without a page: the answers of commands that run are waited for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tfdrift.app.calls import CALLS
from tfdrift.app.desk import Desk

Ask = Callable[..., Awaitable[dict[str, Any]]]


def talk(desk: Desk, conversation: Callable[[Ask], Awaitable[Any]]) -> Any:
    """Return what a conversation with a desk comes to; the desk is closed after it."""

    async def ask(name: str, /, **request: Any) -> dict[str, Any]:
        answer = await CALLS[name](desk, request)
        job = desk.jobs.get(answer["id"]) if "kind" in answer and "id" in answer else None
        if job is None:
            return answer
        await job.ended.wait()
        return job.document()

    async def all_of_it() -> Any:
        try:
            return await conversation(ask)
        finally:
            await desk.close()

    return asyncio.run(all_of_it())
