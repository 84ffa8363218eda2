"""What a vendor is to the gateway, its own and those that plugins bring: see ``docs/plugins.rst``."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IVendor(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A kind of provider: what its ``[providers.NAME]`` tables may hold, and what is made of them.

    :class:`llmedge.providers.vendor.HttpVendor` has all of it for a server that speaks a dialect; those of others are
    plugins of ``twisted.plugin`` in ``llmedge.plugins``.
    """

    name = Attribute("What ``vendor`` says in ``[providers.NAME]``. The catalogue's own names go before a plugin's.")
    settings = Attribute(
        "The class of its tables: :class:`llmedge.config.sections.providers.Provider`, or a subclass with more options."
    )
    price_name = Attribute("Its id in genai-prices, whose list prices count; ``''`` where it has none.")
    otel_name = Attribute("``gen_ai.provider.name`` of its spans; ``''``: what the provider is called.")

    def resolve(settings, environ):  # type: ignore[no-untyped-def]
        """``settings`` with what follows from them or, beyond the options' own ``fallback``, from ``environ``."""

    def problems(settings):  # type: ignore[no-untyped-def]
        """What is wrong with settled ``settings``, for ``--check`` and the start: ``(option, words)`` each, such as
        ``("region", "is not one of AWS's")``; an empty option is about the table as a whole."""

    def provider(name, settings, client, limits, reactor):  # type: ignore[no-untyped-def]
        """The :class:`llmedge.providers.provider.Provider` of one ``[providers.NAME]`` table. It listens to nothing
        and asks nobody before it is asked.

        :param client: the pools of connections to vendors, a :class:`llmedge.upstream.client.Client`.
        :param limits: ``[upstream]``, a :class:`llmedge.config.sections.upstream.Upstream`.
        :raises ValueError: it cannot be made; the message is a predicate about the provider.
        """
