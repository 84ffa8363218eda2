"""For HEALTHCHECK: asks the gateway in this container whether it lives; exits 0 if so, else says why not.

It asks at SERVER_ADDRESS, which stands over the file's ``[server]``. Whoever gives ``--port`` sets SERVER_ADDRESS too.
"""

import http.client
import os
import sys

PATH = "/health/live"
SECONDS = 2.5


def connection() -> http.client.HTTPConnection:
    host, _, port = os.environ.get("SERVER_ADDRESS", "0.0.0.0:8080").rpartition(":")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
    if os.environ.get("ENABLE_TLS", "").lower() not in ("true", "1", "yes", "on"):
        return http.client.HTTPConnection(host, int(port), timeout=SECONDS)
    import ssl  # a third of this program's time, and most containers speak plain HTTP

    context = ssl.create_default_context()
    context.check_hostname = False  # the certificate is for the name that others call it by
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, int(port), timeout=SECONDS, context=context)


def main() -> int:
    try:
        asked = connection()
        asked.request("GET", PATH)
        status = asked.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"not healthy: {error}")
        return 1
    if status in (200, 401):  # 401: it lives, and AUTH_HEALTH_CHECK asks for a key
        return 0
    print(f"not healthy: {PATH} answered {status}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
