"""Lets the clients of this process trust one more authority: the one of the hosts whose requests a secret is put into."""

from __future__ import annotations

import os

SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
# The bundle's own path is read-only, and this is emptied between isolated calls: it is written for each of them.
BUNDLE = "/tmp/.casemate-authorities.pem"  # nosec B108  # the sandbox's own
# Python's ssl, httpx and all of OpenSSL; requests; curl; botocore; Node; git.
_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)


def trust(authority: bytes, system: str = SYSTEM, bundle: str = BUNDLE) -> None:
    """`authority`: PEM. Clients read one file, so that it holds the system's authorities too."""
    try:
        with open(system, "rb") as known:
            all_known = known.read()
    except OSError:
        all_known = b""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(bundle, flags, 0o600)
    with open(descriptor, "wb") as file:
        file.write(all_known.rstrip(b"\n") + b"\n" + authority)
    for variable in _VARIABLES:
        os.environ[variable] = bundle
