"""multipart/form-data going by: any body, split anywhere, comes out as it went in but for the model's value."""

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.server import Server
from llmedge.errors import EdgeError, UnsupportedMediaType, ValidationError
from llmedge.web.multipart import Multipart, boundary_of
from llmedge.web.spool import Room, Spool
from llmedge.web.upload import HELD, HeldUpload
from tests.effort import examples

B = b"XyZ-7"
LARGEST = 1 << 25
TYPE = f"multipart/form-data; boundary={B.decode()}"
MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'


def body(*parts: bytes, boundary: bytes = B) -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def go_by(data: bytes, model: bytes, cuts: list[int] | None = None, told: str = "") -> bytes:
    """What a body becomes, fed in pieces, with ``model`` for its model."""
    parser = Multipart(B, told)
    out: list[bytes | None] = []
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or ())})
    for start, end in itertools.pairwise(places):
        out += parser.feed(data[start:end])
    parser.end()
    return b"".join(model if piece is None else piece for piece in out)


# Bytes that tempt: line breaks, dashes, the boundary's beginning.
TEMPTING = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--XyZ", b"\r\n--XyZ-", b"XyZ-7", b"model", b"\0", b"a"]),
    max_size=12,
).map(b"".join)
CONTENT = st.one_of(TEMPTING, st.binary(max_size=200)).filter(lambda data: b"--" + B not in data and data is not None)
NAME = st.sampled_from([b"file", b"prompt", b"image[]", b"models", b"timestamp_granularities[]", b"Model"])
PART = st.tuples(NAME, CONTENT).map(lambda it: b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % it)
PARTS = st.lists(PART, max_size=4)
WORD = st.text("abc-./:é", min_size=1, max_size=20).map(str.encode)


class GoingBy(SynchronousTestCase):
    @settings(max_examples=examples(400), deadline=None)
    @given(PARTS, PARTS, WORD, WORD, st.lists(st.integers(0, 10000), max_size=30))
    def test_only_the_model_changes(
        self, before: list[bytes], behind: list[bytes], old: bytes, new: bytes, cuts: list[int]
    ) -> None:
        def of(model: bytes) -> bytes:
            return body(*before, MODEL + model, *behind)

        self.assertEqual(go_by(of(old), new, cuts), of(new))
        self.assertEqual(go_by(of(old), new, list(range(len(of(old))))), of(new))

    @settings(max_examples=examples(100), deadline=None)
    @given(PARTS.filter(bool), WORD, st.lists(st.integers(0, 10000), max_size=10))
    def test_a_model_told_elsewhere(self, parts: list[bytes], new: bytes, cuts: list[int]) -> None:
        """A body that names none gets it as its last field; one that names it is as ever."""
        self.assertEqual(go_by(body(*parts), new, cuts, told="m"), body(*parts, MODEL + new))
        self.assertEqual(go_by(body(*parts, MODEL + b"m"), new, cuts, told="m"), body(*parts, MODEL + new))

    def test_it_is_known_as_soon_as_it_is_there(self) -> None:
        parser = Multipart(B)
        data = body(MODEL + b"whisper-1", FILE + b"x" * 1000)
        at = data.index(b'\r\n--XyZ-7\r\nContent-Disposition: form-data; name="file"')
        parser.feed(data[: at + 9])
        self.assertEqual((parser.model, parser.size, parser.complete), ("whisper-1", 9, False))

    def test_what_clients_send(self) -> None:
        """Token or quoted, any order of parameters, any case; names in UTF-8, backslashes where they cannot mislead."""
        for head in (
            b"content-disposition:form-data;name=model\r\n\r\n",
            b'CONTENT-DISPOSITION: Form-Data; NAME="model"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n',
        ):
            self.assertEqual(go_by(body(head + b"a"), b"bc"), body(head + b"bc"))
        for encoding in (b"7bit", b"8BIT", b" binary "):
            for charset in (b"", b"; charset=ISO-8859-1", b'; charset="us-ascii"', b";charset=UTF-8"):
                head = MODEL.removesuffix(b"\r\n") + b"Content-Type: text/plain" + charset
                head += b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
                file = FILE.removesuffix(b"\r\n") + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\nx"
                self.assertEqual(go_by(body(head + b"a", file), b"bc"), body(head + b"bc", file))
        for filename in (b'filename="na\xc3\xafve; name=model.mp3"', b'filename="a\\\\b"', b"filename*=UTF-8''a%20b"):
            part = b'Content-Disposition: form-data; name="file"; ' + filename + b"\r\n\r\nx"
            self.assertEqual(go_by(body(part, MODEL + b"a"), b"bc"), body(part, MODEL + b"bc"))

    def test_a_model_in_disguise(self) -> None:
        """The refusal names the encoding; a charset that would read the bytes otherwise is none that can be taken."""
        for said, value, words in (
            (b"Content-Transfer-Encoding: base64", b"YQ==", "base64"),
            (b"Content-Transfer-Encoding: Quoted-Printable", b"=61", "quoted-printable"),
            (b"Content-Type: text/plain; charset=ISO-8859-1", "é".encode("latin-1"), "UTF-8"),
            (b"Content-Type: text/plain; charset=ISO-8859-1", "é".encode(), "UTF-8"),
            (b"Content-Type: application/json", b'"a"', "plain text"),
        ):
            data = body(MODEL.removesuffix(b"\r\n") + said + b"\r\n\r\n" + value)
            error = self.assertRaises(ValidationError, go_by, data, b"b")
            self.assertEqual(error.param, "model")
            self.assertIn(words, error.message)

    def test_what_two_parsers_could_read_differently(self) -> None:
        """No way to hide another model from us that somebody behind us finds."""
        good = MODEL + b"a"
        evil = b'Content-Disposition: form-data; name="model"\r\n\r\nevil'

        def named(rest: bytes) -> bytes:
            return body(good, b"Content-Disposition: " + rest + b"\r\n\r\nevil")

        for data in (
            body(good, evil),
            body(good).removesuffix(b"--\r\n") + b"\r\n" + evil,
            body(good) + body(evil),
            b"preamble\r\n" + body(good),
            b"\r\n" + body(good),
            body(good, FILE + b"\n--XyZ-7\n" + evil),
            body(good, FILE + b"x--XyZ-7--"),
            body(good, FILE + b"x\r\n--XyZ-77\r\n"),
            body(good).replace(b"--XyZ-7\r\n", b"--XyZ-7 \r\n", 1),
            body(FILE.removesuffix(b"\r\n\r\n"), good),
            body(good, b"X: y\r\n\r\nno name"),
            body(good, b"\r\n\r\nno headers"),
            body(good, b"Content-Disposition: form-data;\r\n name=model\r\n\r\nfolded"),
            body(good, b"Content-Disposition: form-data; name=a\n name=model\r\n\r\nbare"),
            body(good, b'Content-Disposition : form-data; name="a"\r\n\r\nspace'),
            named(b'form-data; name="a"; name="model"'),
            named(b'form-data; name="a"; name="a"'),
            named(b"form-data; name=a; name*=UTF-8''model"),
            named(b'form-data; name="m\\odel"'),
            named(b'form-data; filename="a\\"; name="model"; x="b"; name="c"'),
            named(b'form-data; filename="a\\\\\\"; name="model"'),
            named(b'form-data; name="a"\r\nContent-Disposition: form-data; name="model"'),
            named(b'attachment; name="a"'),
            named(b"form-data"),
            body(b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\na'),
            body(b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ=='),
            body(b'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\na'),
            body(MODEL + b"a\r\nb"),
            body(MODEL + b"a\0"),
            body(MODEL + b"\xff"),
            body(MODEL),
            body(MODEL + b"a" * 2000),
            body(FILE + b"x"),
            body(),
            b"",
            body(b"X: " + b"y" * 20000 + b"\r\n" + MODEL + b"a"),
            body(*[FILE + b"x"] * 1001, good),
        ):
            for cuts in ([], list(range(len(data))) if len(data) < 5000 else []):
                with self.assertRaises(ValidationError, msg=data[:300]):
                    go_by(data, b"b", cuts)

    def test_another_model_than_was_told(self) -> None:
        error = self.assertRaises(ValidationError, go_by, body(MODEL + b"a"), b"b", None, "c")
        self.assertEqual(error.param, "model")


class Boundaries(SynchronousTestCase):
    def test_good(self) -> None:
        for given_, found in (
            (b"multipart/form-data; boundary=abc", b"abc"),
            (b'Multipart/Form-Data; charset=utf-8; BOUNDARY="a b:c"', b"a b:c"),
            (b"multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxk", b"----WebKitFormBoundary7MA4YWxk"),
        ):
            self.assertEqual(boundary_of(given_), found)

    def test_bad(self) -> None:
        for given_ in (
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b'multipart/form-data; boundary="a "',
            b"multipart/form-data; boundary=a; boundary=b",
            b"multipart/form-data; boundary=" + b"a" * 71,
            b'multipart/form-data; boundary="a\\b"',
            b'multipart/form-data; boundary="a\xe9"',
            b"multipart/form-data; boundary=a b",
        ):
            self.assertRaises(ValidationError, boundary_of, given_)
        for given_ in (b"", b"multipart/mixed; boundary=a", b"application/x-www-form-urlencoded"):
            self.assertRaises(UnsupportedMediaType, boundary_of, given_)


class Uploads(SynchronousTestCase):
    def upload(self, data: bytes, told: str = "", length: bool = True, piece: int = 65536) -> HeldUpload:
        self.left = [data[start : start + piece] for start in range(0, len(data), piece)]
        self.ended = 0

        async def read() -> bytes:
            return self.left.pop(0) if self.left else b""

        def when_read() -> None:
            self.ended += 1

        held = Spool(Room(Server()), None)  # nothing of it goes to a disk, for which a thread would be needed
        return HeldUpload(B, Multipart(B, told), held, read, len(data) if length else None, LARGEST, when_read)

    def all_of(self, upload: HeldUpload, model: str) -> tuple[bytes, int | None]:
        sending = upload.open(model)

        async def take() -> bytes:
            parts = []
            while data := await sending.read():
                parts.append(data)
            return b"".join(parts)

        return self.successResultOf(Deferred.fromCoroutine(take())), sending.length

    def begin(self, upload: HeldUpload) -> str:
        return self.successResultOf(Deferred.fromCoroutine(upload.begin()))

    def test_a_small_one_can_be_sent_again(self) -> None:
        upload = self.upload(body(FILE + b"x" * 1000, MODEL + b"a"), length=False)
        self.assertEqual(self.begin(upload), "a")
        for name in ("bcd", "e"):
            expected = body(FILE + b"x" * 1000, MODEL + name.encode())
            self.assertEqual(self.all_of(upload, name), (expected, len(expected)))
            self.assertFalse(upload.spent)
        self.assertEqual(self.ended, 1)

    def test_a_large_one_goes_by(self) -> None:
        """No more than is held is read before somebody is asked; its length is known if the client's was."""
        for length in (True, False):
            upload = self.upload(body(MODEL + b"a", FILE + b"x" * 3 * HELD), length=length)
            self.assertEqual(self.begin(upload), "a")
            self.assertGreater(sum(map(len, self.left)), HELD)
            self.assertEqual((upload.open("b").again, self.ended), (True, 0))
            expected = body(MODEL + b"bcd", FILE + b"x" * 3 * HELD)
            self.assertEqual(self.all_of(upload, "bcd"), (expected, len(expected) if length else None))
            self.assertEqual((upload.spent, upload.open("b").again, self.ended), (True, False, 1))

    def test_a_file_in_front(self) -> None:
        """It is held until the model comes, and can be sent again; told in the head, no more is held than usual."""
        data, expected = body(FILE + b"x" * 3 * HELD, MODEL + b"a"), body(FILE + b"x" * 3 * HELD, MODEL + b"bcd")
        upload = self.upload(data, length=False)
        self.assertEqual((self.begin(upload), self.left), ("a", []))
        for _ in range(2):
            self.assertEqual(self.all_of(upload, "bcd"), (expected, len(expected)))
        self.assertFalse(upload.spent)
        upload = self.upload(data, told="a")
        self.assertEqual(self.begin(upload), "a")
        self.assertGreater(sum(map(len, self.left)), HELD)
        self.assertEqual(self.all_of(upload, "bcd"), (expected, None))

    def test_a_model_in_the_middle(self) -> None:
        """No more is waited for than the model; the rest goes by."""
        data = body(FILE + b"x" * 2 * HELD, MODEL + b"a", FILE + b"y" * 2 * HELD)
        upload = self.upload(data)
        self.assertEqual(self.begin(upload), "a")
        self.assertGreater(sum(map(len, self.left)), HELD)
        expected = body(FILE + b"x" * 2 * HELD, MODEL + b"bcd", FILE + b"y" * 2 * HELD)
        self.assertEqual(self.all_of(upload, "bcd"), (expected, len(expected)))
        self.assertTrue(upload.spent)

    def test_a_model_that_never_comes(self) -> None:
        upload = self.upload(body(FILE + b"x" * 2 * HELD))
        error = self.failureResultOf(Deferred.fromCoroutine(upload.begin()), EdgeError).value
        self.assertEqual((error.status, error.param, error.message), (400, "model", "The field 'model' is required."))

    def test_a_name_that_does_not_fit(self) -> None:
        upload = self.upload(body(MODEL + b"a"))
        self.begin(upload)
        for name in ("x--XyZ-7", "a\r\nb"):
            self.assertRaises(ValidationError, upload.open, name)

    def test_the_content_type_is_ours(self) -> None:
        def kind(boundary: bytes) -> str:
            parser, held = Multipart(boundary), Spool(Room(Server()), None)
            return HeldUpload(boundary, parser, held, self.upload(b"")._read, None, LARGEST, lambda: None).content_type

        self.assertEqual(kind(b"--a-7"), "multipart/form-data; boundary=--a-7")
        self.assertEqual(kind(b"a b:c"), 'multipart/form-data; boundary="a b:c"')
        self.assertTrue(re.fullmatch(r"[\x20-\x7e]+", kind(b"(),/:=?")))
