"""Where plugins are looked for. Others put modules into directories ``llmedge/plugins`` of their own, anywhere on
Python's path and without an ``__init__.py``: see ``docs/plugins.rst``."""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))  # type: ignore[no-untyped-call]
__all__: list[str] = []
