"""A body of each dialect and operation with a text in each place there is: ``WHERE:NAME``."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "tools:title",
    "required": ["type"],
    "properties": {
        "type": {"type": ["string", "null"], "description": "tools:schema", "enum": ["tools:choice"]},
        "id": {
            "anyOf": [{"type": "string", "format": "uuid", "description": "tools:deep"}],
            "default": "tools:default",
        },
    },
}
ARGUMENTS = '{"q": "tool_calls:argument", "more": [{"id": "tool_calls:nested"}], "n": 1}'
OBJECT = {"q": "tool_calls:argument", "more": [{"id": "tool_calls:nested"}], "n": 1}

REQUESTS: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "system:text"},
            {"role": "developer", "content": [{"type": "text", "text": "system:part"}]},
            {"role": "user", "content": "request:text", "name": "request:name"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "request:part", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
                    {
                        "type": "file",
                        "file": {"filename": "request:file", "file_data": "data:application/pdf;base64,AA"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "history:part"},
                    {"type": "refusal", "refusal": "history:refusal"},
                ],
                "reasoning_content": "history:thought",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": ARGUMENTS}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "tool_results:text"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "tool_results:part"}]},
            {"role": "assistant", "content": "history:text"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "look_up", "description": "tools:description", "parameters": SCHEMA},
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"description": "tools:output"}},
        },
        "prediction": {"type": "content", "content": "request:prediction"},
        "user": "request:user",
        "metadata": {"id": "request:metadata", "type": "request:kind"},
        "stop": ["request:stop"],
        "reasoning_effort": "low",
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    },
    "older chat": {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": None, "function_call": {"name": "look_up", "arguments": ARGUMENTS}},
            {"role": "function", "name": "look_up", "content": "tool_results:text"},
        ],
        "functions": [{"name": "look_up", "description": "tools:description", "parameters": SCHEMA}],
    },
    "responses": {
        "model": "m",
        "instructions": "system:instructions",
        "input": [
            {"role": "system", "content": "system:text"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "request:part"}]},
            {"role": "user", "content": "request:text"},
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "filename": "request:file", "file_data": "data:application/pdf;base64,AA"},
                    {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "history:summary"}],
                "encrypted_content": "AAAA",
            },
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "content": [{"type": "output_text", "text": "history:part", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look_up", "arguments": ARGUMENTS},
            {"type": "function_call_output", "call_id": "c1", "output": "tool_results:text"},
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [{"type": "input_text", "text": "tool_results:part"}],
            },
        ],
        "tools": [{"type": "function", "name": "look_up", "description": "tools:description", "parameters": SCHEMA}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"description": "tools:output"}}},
        "metadata": {"a": "request:metadata"},
        "safety_identifier": "request:user",
        "previous_response_id": "resp_1",
    },
    "responses with a text": {"model": "m", "input": "request:text"},
    "messages": {
        "model": "m",
        "system": [{"type": "text", "text": "system:part", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": "request:text"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "request:part"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {
                        "type": "document",
                        "title": "request:file",
                        "context": "request:context",
                        "source": {"type": "text", "media_type": "text/plain", "data": "request:document"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "history:thought", "signature": "AAAA"},
                    {"type": "redacted_thinking", "data": "AAAA"},
                    {"type": "text", "text": "history:part"},
                    {"type": "tool_use", "id": "c1", "name": "look_up", "input": OBJECT},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "tool_results:text"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "tool_results:part"}],
                    },
                    {"type": "text", "text": "request:behind"},
                ],
            },
            {"role": "assistant", "content": "history:text"},
        ],
        "tools": [{"name": "look_up", "description": "tools:description", "input_schema": SCHEMA}],
        "metadata": {"user_id": "request:user"},
        "stop_sequences": ["request:stop"],
    },
    "messages with a text for a system": {"model": "m", "system": "system:text", "messages": []},
    "gemini": {
        "systemInstruction": {"parts": [{"text": "system:part"}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "request:part"}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}],
            },
            {
                "role": "user",
                "parts": [{"inlineData": {"mimeType": "application/pdf", "data": "AA", "displayName": "request:file"}}],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "history:thought", "thought": True, "thoughtSignature": "AAAA"},
                    {"text": "history:part"},
                    {"functionCall": {"name": "look_up", "args": OBJECT}},
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "look_up", "response": {"output": "tool_results:text"}}}],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "look_up", "description": "tools:description", "parametersJsonSchema": SCHEMA}
                ]
            }
        ],
        "generationConfig": {"stopSequences": ["tools:stop"], "responseMimeType": "text/plain"},
        "labels": {"a": "request:label"},
    },
    "gemini in snake case": {
        "system_instruction": {"parts": {"text": "system:part"}},
        "contents": {"parts": {"text": "request:part"}},
    },
    "tokens to be counted": {
        "generateContentRequest": {
            "model": "models/m",
            "contents": [{"role": "user", "parts": [{"text": "request:part"}]}],
            "systemInstruction": {"parts": [{"text": "system:part"}]},
        }
    },
    "completions": {"model": "m", "prompt": ["request:one", "request:two"], "suffix": "request:suffix"},
    "embeddings": {"model": "m", "input": ["request:one", "request:two"], "user": "request:user"},
    "gemini's embeddings": {"content": {"parts": [{"text": "request:part"}]}},
    "many of them": {"requests": [{"model": "models/m", "content": {"parts": [{"text": "request:part"}]}}]},
    "moderations": {"model": "m", "input": [{"type": "text", "text": "request:text"}]},
    "images": {"model": "m", "prompt": "request:text", "size": "1024x1024", "quality": "high"},
    "speech": {"model": "m", "input": "request:text", "voice": "alloy", "instructions": "system:style"},
    "rerank": {
        "model": "m",
        "query": "request:query",
        "documents": ["request:one", {"text": "request:two", "id": "request:id"}],
    },
}
R = "response:"
ANSWERS: dict[str, dict[str, Any]] = {
    "chat": {
        "id": "c",
        "object": "chat.completion",
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": f"{R}text",
                    "refusal": f"{R}refusal",
                    "reasoning_content": f"{R}thought",
                    "audio": {"id": "a", "transcript": f"{R}transcript", "data": "AAAA", "expires_at": 1},
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": "response:argument"}'},
                        }
                    ],
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1},
    },
    "completions": {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": f"{R}text"}]},
    "responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "instructions": "what the client has sent",
        "metadata": {"a": "likewise"},
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": f"{R}summary"}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": f"{R}text",
                        "annotations": [{"type": "url_citation", "title": f"{R}title"}],
                    },
                    {"type": "refusal", "refusal": f"{R}refusal"},
                ],
            },
            {
                "type": "function_call",
                "id": "fc",
                "call_id": "c",
                "name": "f",
                "arguments": '{"a": "response:argument"}',
            },
        ],
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": f"{R}thought", "signature": "AAAA"},
            {"type": "text", "text": f"{R}text", "citations": [{"type": "char_location", "cited_text": f"{R}cited"}]},
            {"type": "tool_use", "id": "1", "name": "f", "input": {"id": f"{R}argument"}},
        ],
        "stop_reason": "tool_use",
    },
    "gemini": {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": f"{R}thought", "thought": True},
                        {"text": f"{R}text"},
                        {"functionCall": {"name": "f", "args": {"type": f"{R}argument"}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "up",
        "responseId": "r",
    },
    "a transcription": {"text": f"{R}text", "segments": [{"id": 0, "text": f"{R}segment"}]},
    "pictures": {"created": 1, "data": [{"b64_json": "AAAA", "revised_prompt": f"{R}prompt"}]},
    "rerank": {"id": "r", "results": [{"index": 0, "document": {"text": f"{R}document"}}]},
}
