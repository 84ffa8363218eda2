"""AWS Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html),
by botocore's signer: extra ``bedrock``."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from typing import Any

import attrs
from twisted.internet.threads import deferToThreadPool

from llmedge.config.secret import Secret

LARGE = 256 * 1024
"""Bytes; longer bodies are hashed in a thread (hashlib lets go of the interpreter)."""


@attrs.frozen
class AwsCredentials:
    """:ivar session_token: of temporary credentials; ``None`` for lasting ones."""

    access_key: str
    secret_key: Secret
    session_token: Secret | None = None


class SigV4:
    """Signs the method, the URL, the host, the time and the body.

    :param reactor: ``IReactorTime``, its seconds those since the epoch, and ``IReactorThreads``.
    :param service: the name AWS knows the service by in signatures.
    :raises ValueError: botocore is not installed.
    """

    def __init__(self, reactor: Any, credentials: AwsCredentials, region: str, service: str = "bedrock") -> None:
        if importlib.util.find_spec("botocore") is None:
            raise ValueError("needs botocore to sign requests: pip install 'llmedge[bedrock]', or use an API key")
        self._reactor = reactor
        self._credentials = credentials
        self._scope = (service, region)
        self._sign: Any = None

    async def headers(self, method: str, url: str, body: bytes) -> list[tuple[str, str]]:
        if self._sign is None:
            self._sign = await self._in_thread(_load, self._credentials, *self._scope)  # importing takes a while
        digest = _digest(body) if len(body) < LARGE else await self._in_thread(_digest, body)
        signed: list[tuple[str, str]] = self._sign(method, url, digest, self._reactor.seconds())
        return signed

    def secrets(self) -> tuple[str, ...]:
        keys = self._credentials
        token = keys.session_token
        return (keys.access_key, keys.secret_key.reveal(), *(() if token is None else (token.reveal(),)))

    def close(self) -> None: ...

    def _in_thread(self, function: Any, *args: Any) -> Any:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *args)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _load(credentials: AwsCredentials, service: str, region: str) -> Any:
    """A function that signs; botocore is imported here and nowhere else."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    class Auth(SigV4Auth):  # type: ignore[misc]
        """botocore's reads the clock and hashes the body itself, and logs what it signs."""

        def add_auth(self, request: Any) -> None:
            self._modify_request_before_signing(request)
            to_sign = self.string_to_sign(request, self.canonical_request(request))
            self._inject_signature_to_request(request, self.signature(to_sign, request))

        def payload(self, request: Any) -> str:
            digest: str = request.context["digest"]
            return digest

    token = credentials.session_token
    auth = Auth(
        ReadOnlyCredentials(
            credentials.access_key, credentials.secret_key.reveal(), token.reveal() if token is not None else None
        ),
        service,
        region,
    )

    def sign(method: str, url: str, digest: str, now: float) -> list[tuple[str, str]]:
        request = AWSRequest(method=method, url=url)
        request.context = {"timestamp": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), "digest": digest}
        auth.add_auth(request)
        return [(name.lower(), value) for name, value in request.headers.items()]

    return sign
