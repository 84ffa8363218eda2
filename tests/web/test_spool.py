"""Uploads whose model comes behind the file: kept in memory, then on a disk, then refused."""

from __future__ import annotations

import errno
import tempfile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.server import Server
from llmedge.errors import Overloaded
from llmedge.web import spool
from llmedge.web.spool import Room, Spool
from llmedge.web.upload import HELD
from tests.fakes import Edge, Reactor, Wire, request
from tests.web.common import KEYS
from tests.web.test_multipart import FILE, MODEL, TYPE, body
from tests.web.through import TOML, Through


class Pieces(SynchronousTestCase):
    def setUp(self) -> None:
        self.files: list[Any] = []
        make = tempfile.TemporaryFile

        def remembered() -> Any:
            self.files.append(make())
            return self.files[-1]

        self.patch(spool.tempfile, "TemporaryFile", remembered)
        self.room = Room(Server(upload_memory=10, upload_disk=20))

    def spool(self) -> Spool:
        return Spool(self.room, Reactor())

    def add(self, spool: Spool, *pieces: bytes | None) -> None:
        self.successResultOf(Deferred.fromCoroutine(spool.add(list(pieces))))

    def refused(self, spool: Spool, piece: bytes) -> None:
        error = self.failureResultOf(Deferred.fromCoroutine(spool.add([piece])), Overloaded).value
        self.assertIn("send the field 'model' first", error.message)

    def pieces(self, spool: Spool) -> list[bytes | None]:
        return [self.successResultOf(Deferred.fromCoroutine(spool.get(index))) for index in range(len(spool))]

    def test_in_memory_then_on_disk(self) -> None:
        """In their order, wherever each is; what another one gives back is used again."""
        first, second = self.spool(), self.spool()
        self.add(first, b"12345", None, b"6789")
        self.add(second, b"ab", b"c", None, b"defgh", b"")
        self.assertEqual((self.room.memory, self.room.disk, len(self.files)), (10, 7, 1))
        self.assertEqual(self.pieces(first), [b"12345", None, b"6789"])
        self.assertEqual(self.pieces(second), [b"ab", b"c", None, b"defgh", b""])
        self.assertEqual((second.size, second.total(b"xyz")), (8, 11))
        first.close()
        self.add(second, b"in memory")
        self.assertEqual((self.room.memory, self.room.disk, self.pieces(second)[-1]), (10, 7, b"in memory"))

    def test_no_room(self) -> None:
        """Neither in memory nor on the disk: it is refused, and what there is stays."""
        first, second = self.spool(), self.spool()
        self.add(first, b"1234567890", b"a" * 20)
        self.refused(second, b"x")
        self.assertEqual(self.pieces(first), [b"1234567890", b"a" * 20])
        first.close()
        self.add(second, b"x")

    def test_no_disk(self) -> None:
        """Where it is turned off, full or cannot be written to."""
        self.room.limits = Server(upload_memory=10, upload_disk=0)
        self.refused(self.spool(), b"x" * 11)
        self.assertEqual(self.files, [])

        def full(file: Any, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.room.limits = Server(upload_memory=10)
        self.patch(spool, "_append", full)
        given_up = self.spool()
        self.refused(given_up, b"x" * 11)
        given_up.close()
        self.assertEqual((self.room.memory, self.room.disk, self.files[0].closed), (0, 0, True))

    def test_the_end(self) -> None:
        """Everything is given back, once."""
        held = self.spool()
        self.add(held, b"123", b"x" * 11)
        for _ in range(2):
            held.close()
            self.assertEqual((self.room.memory, self.room.disk, self.files[0].closed), (0, 0, True))


class FileFirst(Through):
    """A file before the model, as SDKs in Go and .NET write it."""

    def upload(self, data: bytes, path: str = "/v1/audio/transcriptions", lack: int = 0, **headers: str) -> Wire:
        """:param lack: how much of the end does not come."""
        wire = self.edge.wire()
        sent = request(path=path, body=data, headers={"content-type": TYPE} | headers)
        sent = sent[: len(sent) - lack]
        for start in range(0, len(sent), 65536):
            wire.send(sent[start : start + 65536])
        return wire

    def held(self) -> tuple[int, int]:
        room = self.edge.site.edge.room
        return room.memory, room.disk

    def test_up_to_the_largest_upload(self) -> None:
        """Byte for byte, in memory and from the disk, and can be sent again; nothing is kept afterwards."""
        data = body(FILE + bytes(range(256)) * 4096 * 5, MODEL + b"nick")
        expected = data.replace(b"nick", b"whisper-1")
        models = '[models.nick]\ntargets = ["v/whisper-1"]\n[routing]\nretries = 1\nretry_cap = 0.001\n'
        for memory in (10**8, 3 * HELD, 0):
            self.begin(f"[server]\nupload_memory = {memory}\n{models}")
            wire = self.upload(data)
            first = self.vendor()
            self.assertEqual(first.body, expected)
            in_memory, on_disk = self.held()
            self.assertGreater(in_memory + on_disk, 5 * HELD)
            self.assertLessEqual(in_memory, memory)
            first.answer(500, {"error": {"message": "not today"}})
            self.edge.reactor.advance(0.01)
            again = self.vendor()
            self.assertEqual(again.body, expected)
            again.answer(200, {"text": "hello"})
            self.assertEqual(wire.response().json(), {"text": "hello"})
            self.assertEqual(self.held(), (0, 0))

    def test_each_endpoint(self) -> None:
        for path in ("/v1/audio/translations", "/v1/images/edits", "/audio/transcriptions"):
            self.begin()
            self.upload(body(FILE + b"s" * 2 * HELD, MODEL + b"m"), path)
            self.assertEqual(self.vendor().body, body(FILE + b"s" * 2 * HELD, MODEL + b"m"))

    def test_who_leaves(self) -> None:
        """Nothing of it is kept."""
        for memory in (10**8, HELD):
            self.begin(f"[server]\nupload_memory = {memory}\n")
            wire = self.upload(body(FILE + b"s" * 3 * HELD, MODEL + b"m"), lack=100)
            self.assertGreater(sum(self.held()), 2 * HELD)
            wire.leave()
            self.assertEqual(self.held(), (0, 0))
            self.assertEqual(self.edge.reactor.tcpClients, [])

    def test_no_room(self) -> None:
        """It is a 503 that says what to do; a model in front needs no room."""
        self.begin(f"[server]\nupload_memory = {2 * HELD}\nupload_disk = 0\n")
        response = self.upload(body(FILE + b"s" * 3 * HELD, MODEL + b"m")).response()
        self.assertEqual((response.status, response.error["code"]), (503, "UNAVAILABLE"))
        self.assertIn("?model=NAME", response.error["message"])
        self.assertEqual(self.held(), (0, 0))
        self.upload(body(MODEL + b"m", FILE + b"s" * 3 * HELD))
        self.assertEqual(self.vendor().body, body(MODEL + b"m", FILE + b"s" * 3 * HELD))

    def test_too_large(self) -> None:
        self.begin(f"[server]\nmax_upload_size = {2 * HELD}\n")
        response = self.upload(body(FILE + b"s" * 3 * HELD, MODEL + b"m")).response()
        self.assertEqual((response.status, response.error["code"]), (413, "REQUEST_TOO_LARGE"))
        self.assertEqual(self.held(), (0, 0))

    def test_a_caller_with_one_model(self) -> None:
        """Which it is need not be waited for, and it must not be another one."""
        keys = KEYS + '[[auth.keys]]\nname = "c"\nkey = "key-c"\nmodels = ["whisper-1"]\n'
        data = body(FILE + b"s" * 3 * HELD, MODEL + b"whisper-1")
        for key, waits in (("key-a", True), ("key-c", False)):
            self.edge = Edge(keys + TOML)
            wire = self.edge.wire()
            sent = request(path="/v1/audio/transcriptions", body=data, headers={"content-type": TYPE, "api-key": key})
            wire.send(sent[: 2 * HELD])
            self.assertEqual(self.edge.reactor.tcpClients == [], waits)
            wire.send(sent[2 * HELD :])
            self.assertEqual(self.vendor().body, data)
        self.edge = Edge(keys + TOML)
        other = self.upload(body(MODEL + b"tts-1", FILE + b"s"), **{"api-key": "key-c"}).response()
        self.assertEqual(other.status, 400)
        self.assertIn("what its key may use", other.error["message"])
