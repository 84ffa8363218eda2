"""The key of a Google Cloud service account
(developers.google.com/identity/protocols/oauth2/service-account)."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs
import msgspec

from llmedge.config.secret import Secret

GOOGLES = "https://oauth2.googleapis.com/token"
_decode = msgspec.json.Decoder().decode


@attrs.frozen
class ServiceAccount:
    """What a service account's JSON file says. The key does not show in its ``repr``."""

    email: str
    key_id: str
    key: Secret
    token_uri: str
    project: str

    @classmethod
    def parse(cls, text: str | bytes, token_url: str = "") -> ServiceAccount:
        """:param token_url: the token endpoint in the place of the file's, from the configuration: a key file comes
            from elsewhere and must not choose where assertions are sent, so its own has to be Google's.
        :raises ValueError: the file is not one; the message shows nothing of the key.
        """
        try:
            fields = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ValueError("is not JSON") from None
        if not isinstance(fields, dict) or fields.get("type") != "service_account":
            raise ValueError('is not the key of a service account (its "type" must be "service_account")')
        names = ("client_email", "private_key_id", "private_key", "token_uri")
        for name in names:
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise ValueError(f"has no {name}")
        email, key_id, key, uri = (fields[name] for name in names)
        if token_url:
            uri = token_url
        elif uri != GOOGLES:
            host = urlsplit(uri).hostname or ""
            raise ValueError(
                f"has a token_uri that is not {GOOGLES} but at {host[:253]!r}: set token_url if it is good"
            )
        project = fields.get("project_id")
        return cls(email, key_id, Secret(key), uri, project if isinstance(project, str) else "")
