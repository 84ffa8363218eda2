"""``python -m benchmarks.weather``: what callers get in bad weather, with what llmedge learns and without.

One ``twist llmedge`` before scripted vendors (:mod:`~benchmarks.weather.vendors`), and callers that come at random
times, whatever the answers (:mod:`~benchmarks.weather.callers`). The scenarios are in
:mod:`~benchmarks.weather.scenarios`; :mod:`~benchmarks.weather.draw` makes curves of what a run wrote down.
"""
