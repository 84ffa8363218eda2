"""What may be sent for a picture, a sound, a document, wherever it stands."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.media import file_source, split_data_url
from llmedge.errors import Unsupported
from tests.dialects.fitting.common import VENDORS, body, call, context, say

BAD = (
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "gopher://x",
    "ftp://example.com/a.png",
    "javascript:alert(1)",
    "data:text/html;base64,PGI+",
    "data:text/html,<b>",
    "data:image/png,notbase64",
    "//example.com/a.png",
    "/etc/passwd",
    "",
)


def places(medium: ir.Image | ir.File) -> dict[str, tuple[ir.Message, ...]]:
    question, calls = say("user", "q"), say("assistant", call("a"))
    return {
        "user": (say("user", medium, at="messages[0]"),),
        "assistant": (question, say("assistant", medium, at="messages[1]")),
        "system": (say("system", medium, at="messages[0]"), question),
        "result": (question, calls, say("tool", ir.ToolResult("a", (medium,)), at="messages[2]")),
    }


class Urls(SynchronousTestCase):
    def test_nobody_reads_the_machine(self) -> None:
        """Not a vendor, in no place: a 400 that names it, and under drop it is left out and named."""
        for url in BAD:
            image = ir.Image(split_data_url(url))
            for vendor in VENDORS:
                for place, messages in places(image).items():
                    request = ir.Request(messages, (ir.Tool("f"),))
                    error = self.assertRaises(Unsupported, body, vendor, request)
                    self.assertEqual(error.status, 400)
                    self.assertIn("(image)", error.param or "", (url, vendor, place))
                    target = context(vendor, "drop")
                    self.assertNotIn(url or "\0", json.dumps(body(vendor, request, target)))
                    self.assertIn("(image)", str(target.dropped))

    def test_documents_likewise(self) -> None:
        for url in ("file:///etc/passwd", "gopher://x", "ftp://x/a.pdf"):
            for vendor in VENDORS:
                request = ir.Request(places(ir.File(ir.Source("url", url)))["user"])
                self.assertRaises(Unsupported, body, vendor, request)

    def test_what_vendors_fetch(self) -> None:
        for url, takers in (
            ("https://example.com/a.png", {"openai_chat", "openai_responses", "anthropic", "gemini"}),
            ("http://example.com/a.png", {"openai_chat", "openai_responses", "anthropic", "gemini"}),
            ("HTTPS://example.com/a.png", {"openai_chat", "openai_responses", "anthropic", "gemini"}),
            ("gs://bucket/a.png", {"gemini"}),
            ("s3://bucket/a.png", {"bedrock"}),
        ):
            request = ir.Request((say("user", ir.Image(ir.Source("url", url, "image/png"))),))
            for vendor in VENDORS:
                if vendor in takers:
                    self.assertIn(url, json.dumps(body(vendor, request)))
                else:
                    self.assertRaises(Unsupported, body, vendor, request)


class Files(SynchronousTestCase):
    def test_of_other_vendors(self) -> None:
        """An id is its vendor's: nobody else is asked for the file."""
        google = "https://generativelanguage.googleapis.com/v1beta/files/abc"
        for identifier, takers in (
            ("file-abc", {"openai_chat", "openai_responses"}),
            ("file_011abc", {"anthropic"}),
            (google, {"gemini"}),
            ("gs://bucket/a.pdf", {"gemini"}),
        ):
            request = ir.Request((say("user", ir.File(ir.Source("file", identifier))),))
            for vendor in VENDORS:
                if vendor in takers:
                    self.assertIn(identifier, json.dumps(body(vendor, request)))
                else:
                    self.assertRaises(Unsupported, body, vendor, request)


class Data(SynchronousTestCase):
    def test_of_files(self) -> None:
        """Base64 alone is of the type the name tells; a scheme is one in capitals, too."""
        for data, name, source in (
            ("JVBERi0=", "a.pdf", ir.Source("base64", "JVBERi0=", "application/pdf")),
            ("JVBERi0=", "", ir.Source("base64", "JVBERi0=")),
            ("data:text/csv;base64,YQ==", "a.pdf", ir.Source("base64", "YQ==", "text/csv")),
            ("DATA:text/csv;base64,YQ==", "", ir.Source("base64", "YQ==", "text/csv")),
            ("https://x.example/a.pdf", "", ir.Source("url", "https://x.example/a.pdf")),
        ):
            self.assertEqual(file_source(data, name), source)


class Types(SynchronousTestCase):
    def test_of_pictures(self) -> None:
        """Only pictures, and only those a vendor takes."""
        everybody = {"openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"}
        for media_type, takers in (
            ("image/png", everybody),
            ("image/webp", everybody),
            ("image/gif", everybody - {"gemini"}),
            ("image/heic", {"openai_chat", "openai_responses", "gemini"}),
            ("image/tiff", {"openai_chat", "openai_responses"}),
            ("audio/wav", set()),
            ("text/html", set()),
            ("application/pdf", set()),
        ):
            request = ir.Request((say("user", ir.Image(ir.Source("base64", "aGk=", media_type))),))
            for vendor in VENDORS:
                if vendor in takers:
                    body(vendor, request)
                else:
                    error = self.assertRaises(Unsupported, body, vendor, request)
                    self.assertIn(f"it is of type {media_type}", error.message)

    def test_in_other_words(self) -> None:
        """What clients call a type is called as vendors do."""
        for said, known in (("image/jpg", "image/jpeg"), ("IMAGE/PNG", "image/png"), ("image/png;name=a", "image/png")):
            request = ir.Request((say("user", ir.Image(ir.Source("base64", "aGk=", said))),))
            source = body("anthropic", request)["messages"][0]["content"][0]["source"]
            self.assertEqual(source["media_type"], known)
        for said in ("audio/mp3", "audio/x-mp3"):
            request = ir.Request((say("user", ir.Audio(ir.Source("base64", "aGk=", said))),))
            sound = body("openai_chat", request)["messages"][0]["content"][0]
            self.assertEqual(sound["input_audio"]["format"], "mp3")

    def test_sound_that_is_none(self) -> None:
        request = ir.Request((say("user", ir.Audio(ir.Source("base64", "aGk=", "text/html"))),))
        for vendor in VENDORS:
            self.assertRaises(Unsupported, body, vendor, request)

    def test_a_vendors_own_file(self) -> None:
        """An id is no URL."""
        request = ir.Request((say("user", ir.Image(ir.Source("file", "file-1"))),))
        self.assertIn("file-1", json.dumps(body("openai_responses", request)))
