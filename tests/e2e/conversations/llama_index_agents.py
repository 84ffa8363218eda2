"""``llama-index``: its agent over OpenAI's and Google's dialect, streamed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.memory import Memory
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai_like import OpenAILike

from tests.e2e.conversations.pictures import CAT
from tests.e2e.conversations.shared import KEY, QUESTIONS, URL, converse, note


def get_note(name: str) -> str:
    """what the note of this name says"""
    return note(name)


def get_picture(name: str) -> ImageBlock:
    """the picture of this name"""
    return ImageBlock(image=CAT, image_mimetype="image/png")


def hold(llm_of: Callable[[str], Any]) -> Callable[[str], Awaitable[list[str]]]:
    async def talk(name: str) -> list[str]:
        agent = FunctionAgent(llm=llm_of(name), tools=[get_note, get_picture], streaming=True)
        memory = Memory.from_defaults(token_limit=100_000)  # nothing of it is to be forgotten
        return [str(await agent.run(question, memory=memory)) for question in QUESTIONS]

    return talk


def openai(name: str) -> Any:
    return OpenAILike(
        model=name, api_base=f"{URL}/v1", api_key=KEY, is_chat_model=True, is_function_calling_model=True, max_retries=0
    )


def google(name: str) -> Any:
    return GoogleGenAI(name, api_key=KEY, http_options={"base_url": URL}, max_retries=0)


converse({"llama-index openai-like": ("chat", hold(openai)), "llama-index google-genai": ("gemini", hold(google))})
