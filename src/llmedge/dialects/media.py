"""Media in JSON: data URLs (RFC 2397) and the names of audio formats."""

from __future__ import annotations

import mimetypes

from llmedge.dialects.ir import Source

AUDIO_FORMATS = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/opus",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "pcm16": "audio/pcm",
}
"""OpenAI's and its compatible vendors' names."""


def split_data_url(url: str) -> Source:
    """A URL as a source: a base64 ``data:`` URL becomes its data, any other stays a URL."""
    if url[:5].lower() == "data:":
        head, comma, data = url[5:].partition(",")
        if comma and head.endswith(";base64"):
            return Source("base64", data, head.removesuffix(";base64"))
    return Source("url", url)


def file_source(data: str, name: str) -> Source:
    """A file's data: a URL, or base64 alone, whose type the file's ``name`` tells."""
    if "://" in data or data[:5].lower() == "data:":
        return split_data_url(data)
    return Source("base64", data, mimetypes.guess_type(name)[0] or "")


def data_url(source: Source) -> str:
    """The opposite, for ``base64`` and ``url`` sources."""
    if source.kind == "url":
        return source.data
    return f"data:{source.media_type or 'application/octet-stream'};base64,{source.data}"
