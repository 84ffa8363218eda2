"""What a plugin brings that teaches the gateway a vendor: see ``docs/plugins.rst``."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IVendor(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A vendor with behaviour of its own, found by ``twisted.plugin`` in ``llmedge.plugins``."""

    name = Attribute("What ``vendor`` says in ``[providers.NAME]``. The catalogue's own names go before it.")

    def problems(settings):  # type: ignore[no-untyped-def]
        """What is wrong with the settings, for ``--check`` and the start: a list of ``(option, words)``, such as
        ``("options", "needs greeting")``; an empty option is about the table as a whole.

        :param settings: a :class:`~llmedge.config.sections.providers.Provider`. ``options`` is the plugin's own: texts,
            numbers, booleans, and a :class:`llmedge.config.secret.Secret` for each ``env:`` and ``file:`` reference.
        """

    def provider(name, settings, client, limits, reactor):  # type: ignore[no-untyped-def]
        """The :class:`llmedge.providers.provider.Provider` of one ``[providers.NAME]`` table. It listens to nothing
        and asks nobody before it is asked.

        :param client: the pools of connections to vendors, a :class:`llmedge.upstream.client.Client`.
        :param limits: ``[upstream]``, a :class:`llmedge.config.sections.upstream.Upstream`.
        :raises ValueError: it cannot be made; the message is a predicate about the provider.
        """
