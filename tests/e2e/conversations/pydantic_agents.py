"""``pydantic-ai``, an agent in each dialect, streamed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import Agent, BinaryContent, ModelRetry
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.e2e.conversations.pictures import CAT
from tests.e2e.conversations.shared import KEY, QUESTIONS, URL, converse, note


def get_note(name: str) -> str:
    """what the note of this name says"""
    try:
        return note(name)
    except ValueError as error:
        raise ModelRetry(str(error)) from error


def get_picture(name: str) -> BinaryContent:
    """the picture of this name"""
    return BinaryContent(CAT, media_type="image/png")


def hold(model_of: Callable[[str], Any]) -> Callable[[str], Awaitable[list[str]]]:
    async def talk(name: str) -> list[str]:
        agent = Agent(model_of(name), tools=[get_note, get_picture])
        history: list[Any] = []
        done = []
        for question in QUESTIONS:
            async with agent.run_stream(question, message_history=history) as result:
                done.append(await result.get_output())
            history = result.all_messages()
        return done

    return talk


openai = OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY)
anthropic = AnthropicProvider(base_url=URL, api_key=KEY)
google = GoogleProvider(base_url=URL, api_key=KEY)
converse(
    {
        "pydantic-ai openai chat": ("chat", hold(lambda name: OpenAIChatModel(name, provider=openai))),
        "pydantic-ai openai responses": ("responses", hold(lambda name: OpenAIResponsesModel(name, provider=openai))),
        "pydantic-ai anthropic": ("anthropic", hold(lambda name: AnthropicModel(name, provider=anthropic))),
        "pydantic-ai google": ("gemini", hold(lambda name: GoogleModel(name, provider=google))),
    }
)
