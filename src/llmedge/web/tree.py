"""The resource tree: API and operations side by side, wrapped in the onion."""

from __future__ import annotations

from typing import Any, cast

from twisted.web.resource import IResource, Resource


class Tree(Resource):
    """``/v1/…`` and ``/v1beta/…`` go to the API, everything else to the operators' routes."""

    isLeaf = True

    def __init__(self, api: IResource, ops: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._api = api
        self._ops = ops

    def render(self, request: Any) -> int:
        resource: Any = self._api if request.path.startswith((b"/v1/", b"/v1beta/")) else self._ops
        return cast(int, resource.render(request))
