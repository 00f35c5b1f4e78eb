"""The forms that credentials have: those that the library knows, and what it does not know yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from casemate_gate.placeholders import is_placeholder


class Form(NamedTuple):
    rule: str
    title: str
    pattern: re.Pattern[str]
    hints: tuple[str, ...]
    """A text without any of these holds none. Those in lower case may stand in it in any."""
    is_weak: bool = False
    """So short or so plain that words and hashes may have it: letters and digits are asked for on top."""
    begins_word: bool = False
    """Asked for afterwards: a pattern that begins with its letters is found much faster than one that looks behind."""


class Hit(NamedTuple):
    rule: str
    title: str
    start: int
    end: int
    value: str


def _own(rule: str, title: str, pattern: str, *hints: str) -> Form:
    return Form(rule, title, re.compile(pattern), hints, begins_word=True)


_GITLAB: Final = tuple(f"gl{kind}-" for kind in ("pat", "ptt", "dt", "rt", "cbt", "oas", "soat", "ft", "agent", "imt"))
_OWN: Final = (
    _own(
        "casemate-credential",
        "a Casemate credential",
        r"cm[sctap]_[A-Za-z0-9_-]{20,}",
        "cms_",
        "cmc_",
        "cmt_",
        "cma_",
        "cmp_",
    ),
    _own("github-token", "a GitHub token", r"github_pat_[A-Za-z0-9_]{30,}", "github_pat_"),
    _own("gitlab-token", "a GitLab token", r"gl(?:pat|ptt|dt|rt|cbt|oas|ft|agent)-[A-Za-z0-9_.-]{16,}", *_GITLAB),
    _own(
        "slack-token",
        "a Slack token",
        r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{16,}|xapp-\d-[A-Za-z0-9-]{16,}",
        "xox",
        "xapp-",
    ),
    _own(
        "stripe-key", "a Stripe key", r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,}", "k_live_", "k_test_", "whsec_"
    ),
    _own("google-api-key", "a Google API key", r"AIza[A-Za-z0-9_-]{30,}", "aiza"),
    _own(
        "google-oauth-secret",
        "a Google OAuth secret",
        r"GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{20,}",
        "gocspx-",
        "ya29.",
    ),
    _own("vault-token", "a Vault token", r"hv[bsr]\.[A-Za-z0-9_-]{20,}", "hvs.", "hvb.", "hvr."),
    _own("terraform-token", "a Terraform token", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}", ".atlasv1."),
    _own("npm-token", "an npm token", r"npm_[A-Za-z0-9]{30,}", "npm_"),
    _own("pypi-token", "a PyPI token", r"pypi-[A-Za-z0-9_-]{30,}", "pypi-"),
    _own("docker-token", "a Docker Hub token", r"dckr_pat_[A-Za-z0-9_-]{20,}", "dckr_pat_"),
    _own("hugging-face-token", "a Hugging Face token", r"hf_[A-Za-z0-9]{30,}", "hf_"),
    _own("openai-key", "an OpenAI key", r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}", "sk-"),
    _own("anthropic-key", "an Anthropic key", r"sk-ant-[A-Za-z0-9_-]{20,}", "sk-ant-"),
    _own("databricks-token", "a Databricks token", r"dapi[0-9a-f]{32}(?:-\d)?", "dapi"),
    _own("digitalocean-token", "a DigitalOcean token", r"do[opr]_v1_[0-9a-f]{64}", "_v1_"),
    _own("grafana-token", "a Grafana token", r"gl(?:sa|c)_[A-Za-z0-9_=+/]{30,}", "glsa_", "glc_"),
    _own("shopify-token", "a Shopify token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", "shp"),
    _own("sentry-token", "a Sentry token", r"sntry[su]_[A-Za-z0-9_=+/-]{30,}", "sntry"),
    _own("atlassian-token", "an Atlassian token", r"ATATT3[A-Za-z0-9_=-]{50,}", "atatt3"),
    _own("new-relic-key", "a New Relic key", r"NRAK-[A-Z0-9]{27}", "nrak-"),
    _own("age-key", "an age key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "age-secret-key-"),
    _own("postman-key", "a Postman key", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", "pmak-"),
    _own("pulumi-token", "a Pulumi token", r"pul-[0-9a-f]{40}", "pul-"),
    _own("azure-client-secret", "an Azure client secret", r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", "q~"),
    _own(
        "azure-shared-access-signature",
        "an Azure shared access signature",
        r"sig=[A-Za-z0-9%+/]{40,}(?:%3[dD]|=)",
        "sig=",
    ),
    _own("azure-storage-key", "an Azure storage key", r"[A-Za-z0-9+/]{86}==", "=="),
)


def _library() -> Iterator[Form]:
    """The plugins' own patterns. They are searched in whole texts, which is some thirty times as fast as line by line."""
    strong: tuple[tuple[type, str, str, tuple[str, ...]], ...] = (
        (GitHubTokenDetector, "github-token", "a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
        (GitLabTokenDetector, "gitlab-token", "a GitLab token", (*_GITLAB, "GR1348941")),
        (SlackDetector, "slack-token", "a Slack token", ("xox", "hooks.slack.com")),
        (StripeDetector, "stripe-key", "a Stripe key", ("k_live_",)),
        (AWSKeyDetector, "aws-key", "an AWS access key", ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws")),
        (NpmDetector, "npm-token", "an npm token", ("_authtoken",)),
        (PypiTokenDetector, "pypi-token", "a PyPI token", ("pypi-",)),
        (SendGridDetector, "sendgrid-key", "a SendGrid key", ("SG.",)),
        (OpenAIDetector, "openai-key", "an OpenAI key", ("t3blbkfj",)),
        (SquareOAuthDetector, "square-secret", "a Square secret", ("sq0csp-",)),
    )
    weak: tuple[tuple[type, str, str, tuple[str, ...]], ...] = (
        (ArtifactoryDetector, "artifactory-token", "an Artifactory token", ("AKC", "AP")),
        (TwilioKeyDetector, "twilio-key", "a Twilio key", ("AC", "SK")),
        (DiscordBotTokenDetector, "discord-token", "a Discord token", (".",)),
        (TelegramBotTokenDetector, "telegram-token", "a Telegram token", (":",)),
        (MailchimpDetector, "mailchimp-key", "a Mailchimp key", ("-us",)),
        (CloudantDetector, "cloudant-credential", "a Cloudant credential", ("cloudant",)),
        (IbmCloudIamDetector, "ibm-cloud-key", "an IBM Cloud key", ("ibm",)),
        (
            IbmCosHmacDetector,
            "ibm-cos-key",
            "an IBM storage key",
            ("ibm_cos", "ibm-cos", "cos_hmac", "cos-hmac", "secret_access_key", "secret-access-key"),
        ),
        (SoftlayerDetector, "softlayer-key", "a Softlayer key", ("softlayer",)),
    )
    for group, is_weak in ((strong, False), (weak, True)):
        for plugin, rule, title, hints in group:
            for pattern in plugin.denylist:  # type: ignore[attr-defined]
                yield Form(rule, title, pattern, hints, is_weak)


FORMS: Final[tuple[Form, ...]] = (*_OWN, *_library())

_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_PEM: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d")
_PEM_BODY: Final = re.compile(r"[A-Za-z0-9+/]{20,}")
_URL: Final = re.compile(
    r"\b([A-Za-z][A-Za-z0-9+.-]{1,30})://([^\s:/@'\"`<>]{0,200}):([^\s/@'\"`<>]{1,500})@([^\s/'\"`<>]{1,253})"
)
_DATABASES: Final = frozenset(
    "postgres postgresql mysql mariadb mongodb redis rediss amqp amqps mssql sqlserver oracle clickhouse cockroachdb db2 ldap ldaps".split()
)
_PAIR: Final = re.compile(
    r"(?i)\b(AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd)\s*=\s*([^;'\"\s]{4,600})",
)
_PAIR_MARKS: Final = re.compile(
    r"(?i)\b(?:DefaultEndpointsProtocol|AccountName|BlobEndpoint|TableEndpoint|QueueEndpoint|Endpoint|Server|Data Source|Host|HostName"
    r"|Addr|Initial Catalog|Database|Driver|User ?Id|Uid|User)\s*=[^;'\"\n]{1,300};",
)


def hits(text: str) -> Iterator[Hit]:
    """Every credential in `text` that its form gives away; the same one possibly more than once."""
    lowered = text.lower()
    yield from connection_strings(text, lowered)
    if "private key" in lowered or "putty-user-key" in lowered:
        for match in _PEM.finditer(text):
            if _PEM_BODY.search(text, match.end(), match.end() + 300):
                yield Hit("private-key", "a private key", match.start(), match.end(), match[0])
    if "eyj" in lowered:
        for match in _JWT.finditer(text):
            if JwtTokenDetector.is_formally_valid(match[0]):
                yield Hit("json-web-token", "a JSON web token", match.start(), match.end(), match[0])
    for form in FORMS:
        if not any(hint in (lowered if hint.islower() else text) for hint in form.hints):
            continue
        for match in form.pattern.finditer(text):
            if form.begins_word and match.start() and _is_word(text[match.start() - 1]):
                continue
            group = match.lastindex if match.lastindex and len(match[match.lastindex] or "") >= 10 else 0
            value = match[group]
            if form.is_weak and not (_has_digit(value) and re.search(r"[A-Za-z]", value) and len(set(value)) >= 8):
                continue
            if not is_placeholder(value) and not _is_example(value):
                yield Hit(form.rule, form.title, match.start(group), match.end(group), value)


def connection_strings(text: str, lowered: str) -> Iterator[Hit]:
    if "://" in lowered:
        for match in _URL.finditer(text):
            scheme, user, password = match[1].lower(), match[2], match[3]
            if (
                is_placeholder(password)
                or (is_placeholder(user) and password.lower() == user.lower())
                or "{" in password
            ):
                continue
            database = scheme.partition("+")[0] in _DATABASES
            rule = "connection-string" if database else "basic-auth"
            title = "a connection string with a password" if database else "a URL with a password"
            yield Hit(rule, title, match.start(), match.end(), password)
    if "key=" in lowered or "signature=" in lowered or "password" in lowered or "pwd" in lowered:
        for match in _PAIR.finditer(text):
            value = match[2]
            start = max(text.rfind("\n", 0, match.start()) + 1, match.start() - 600)
            marks = _PAIR_MARKS.search(text, start, match.start())
            after = None if marks else re.compile(r"\s*;\s*").match(text, match.end())
            if after and "\n" not in after[0]:
                marks = _PAIR_MARKS.match(text, after.end())
            if marks and not is_placeholder(value) and "{" not in value:
                begin = min(marks.start(), match.start())
                yield Hit("connection-string", "a connection string with a key", begin, match.end(), value)


def _is_example(value: str) -> bool:
    """The keys of AWS's documentation end so, and so do many others'."""
    return value.upper().endswith("EXAMPLE") or value.upper().endswith("EXAMPLEKEY")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def _has_digit(value: str) -> bool:
    return any(char.isdigit() for char in value)
