"""The wire-level tests once more, on twisted.web's own parser: ours does the same, or one of the two is wrong."""

from typing import Any

from tests.fakes import Edge
from tests.providers import test_mock
from tests.web import (
    test_access_record,
    test_api,
    test_authenticate,
    test_compress,
    test_cors,
    test_elsewhere,
    test_head,
    test_http1,
    test_intake,
    test_limits,
    test_onion,
    test_ops,
    test_paths,
    test_peers,
    test_refusals,
    test_relay,
    test_site,
    test_stopping,
    test_websocket,
)

MODULES = (
    *(test_access_record, test_api, test_authenticate, test_compress, test_cors, test_head, test_http1, test_intake),
    *(
        test_elsewhere,
        test_limits,
        test_mock,
        test_onion,
        test_ops,
        test_paths,
        test_peers,
        test_refusals,
        test_relay,
        test_site,
        test_stopping,
    ),
    test_websocket,
)


class Reference:
    """Goes before a test case and has its services speak through the reference parser."""

    http_parser = "twisted"

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.patch(Edge, "http_parser", self.http_parser)  # type: ignore[attr-defined]


def _again() -> dict[str, Any]:
    cases: dict[str, Any] = {}
    for module in MODULES:
        for name, case in vars(module).items():
            if isinstance(case, type) and case.__module__ == module.__name__ and hasattr(case, "debug"):
                title = f"{module.__name__.rpartition('_')[2].title()}{name}"
                cases[title] = type(title, (Reference, case), {"__module__": __name__})
    return cases


globals().update(_again())
