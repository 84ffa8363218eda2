"""Announces ``llmedge`` to ``twist`` and ``twistd``. Imports nothing of ours: the reactor is chosen after this."""

from twisted.application.service import ServiceMaker

llmedge = ServiceMaker(
    "llmedge",
    "llmedge.tap",
    "An LLM edge gateway: one base URL in front of every model.",
    "llmedge",
)
