"""Keys that vendors mark with a prefix: what they look like behind it.

Sources are the vendors' pages about their keys, and what scanners of repositories agree on (docs.github.com, "Supported
secret scanning patterns"; github.com/gitleaks/gitleaks).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_WORD = "[A-Za-z0-9]"
_URL64 = "[A-Za-z0-9_-]"
_HEX = "[0-9a-f]"


class Form(NamedTuple):
    """What a vendor's keys begin with, and what stands behind it."""

    prefix: str
    body: re.Pattern[str]


def _forms(rows: Iterable[tuple[str, str]]) -> Iterable[Form]:
    for prefixes, body in rows:
        for prefix in prefixes.split():
            yield Form(prefix, re.compile(body))


FORMS: tuple[Form, ...] = tuple(
    _forms(
        (
            # OpenAI, Anthropic, OpenRouter, DeepSeek, our own (sk-le-), LiteLLM, Langfuse …
            ("sk-", rf"{_URL64}{{16,300}}"),
            ("AKIA ASIA ABIA ACCA", "[A-Z2-7]{16}(?![A-Z0-9])"),  # AWS
            ("ghp_ gho_ ghu_ ghs_ ghr_", rf"{_WORD}{{30,255}}"),
            ("github_pat_", r"[A-Za-z0-9_]{36,255}"),
            ("glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent-", rf"{_URL64}{{20,255}}"),
            ("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxe.", r"[A-Za-z0-9.-]{16,255}"),
            ("xapp-", r"[A-Za-z0-9-]{24,255}"),
            ("sk_live_ sk_test_ rk_live_ rk_test_ whsec_", rf"{_WORD}{{16,255}}"),  # Stripe
            ("AIza", rf"{_URL64}{{35}}(?!{_URL64})"),  # Google
            ("ya29.", rf"{_URL64}{{20,1024}}"),
            ("GOCSPX-", rf"{_URL64}{{20,40}}"),
            ("hf_", rf"{_WORD}{{30,64}}"),
            ("npm_", rf"{_WORD}{{36}}(?!{_WORD})"),
            ("pypi-AgE", rf"{_URL64}{{32,1024}}"),
            ("rubygems_", rf"{_HEX}{{48}}"),
            ("dckr_pat_ dckr_oat_", rf"{_URL64}{{20,64}}"),
            ("dop_v1_ doo_v1_ dor_v1_", rf"{_HEX}{{64}}"),
            ("SG.", rf"{_URL64}{{16,32}}\.{_URL64}{{30,64}}"),  # SendGrid
            ("key-", rf"{_HEX}{{32}}(?!{_WORD})"),  # Mailgun
            ("shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
            ("sq0atp- sq0csp-", rf"{_URL64}{{22,50}}"),
            ("EAAAE", rf"{_URL64}{{55,64}}"),
            ("dapi", rf"{_HEX}{{32}}(?:-[0-9])?(?!{_WORD})"),  # Databricks
            ("lin_api_ ntn_ secret_ figd_ PMAK- NRAK- NRII- glc_ glsa_ sntrys_ sntryu_", r"[A-Za-z0-9_=+/-]{24,255}"),
            ("hvs. hvb. hvr.", rf"{_URL64}{{20,300}}"),  # HashiCorp Vault
            ("dp.pt. dp.st. dp.ct.", r"[A-Za-z0-9.]{40,64}"),
            ("gsk_ xai- pplx- nvapi- csk- tvly- pcsk_ r8_ fw_ sbp_ re_", rf"{_URL64}{{20,255}}"),
            ("lsv2_pt_ lsv2_sk_", r"[0-9a-f_]{30,64}"),
            ("ATATT3 ATCTT3 ATBB", r"[A-Za-z0-9_=-]{24,255}"),  # Atlassian
            ("HRKU-", rf"{_URL64}{{36,64}}"),
            ("AGE-SECRET-KEY-1", r"[A-Z0-9]{58}"),
            ("pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_.=-]{32,64}"),
            ("ops_eyJ", r"[A-Za-z0-9+/=]{40,1024}"),  # 1Password
            ("LTAI", rf"{_WORD}{{12,20}}(?!{_WORD})"),  # Alibaba Cloud
            ("AQVN", rf"{_URL64}{{35,38}}"),
            ("SK", rf"{_HEX}{{32}}(?!{_WORD})"),  # Twilio
            # JSON Web Tokens (RFC 7519): header and claims are JSON objects in base64url
            ("eyJ", rf"{_URL64}{{10,1000}}\.eyJ{_URL64}{{10,3900}}(?:\.{_URL64}{{0,1100}})?"),
            # incoming webhooks: who has the address may write
            ("hooks.slack.com/services/", r"T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,28}"),
            ("discord.com/api/webhooks/", rf"[0-9]{{17,20}}/{_URL64}{{60,72}}"),
        )
    )
)
LONGEST = 4096
"""Characters of a key, and of what is looked at behind it, at most: of a longer token the rest stays."""

_BY_HEAD: dict[str, list[Form]] = {}
for _form in FORMS:
    _BY_HEAD.setdefault(_form.prefix[:2], []).append(_form)


def key_at(text: str, start: int) -> int:
    """Where the key ends that begins at ``start``; -1: there is none."""
    for form in _BY_HEAD.get(text[start : start + 2], ()):
        begin = start + len(form.prefix)
        if text.startswith(form.prefix, start) and (found := form.body.match(text, begin, start + LONGEST - 2)):
            body = found[0].rstrip("-_.")
            if not body.isalpha() and not body.isdigit() and len(set(body)) > 5:
                return start + len(form.prefix) + len(body)
    return -1
