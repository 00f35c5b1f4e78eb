"""Tells a value that stands for a secret from a secret: `changeme`, `<your password>`, `${DB_PASSWORD}`, `os.environ`."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = frozenset("""
    none null nil true false undefined empty default example sample test testing dummy fake mock placeholder
    changeme change_me change-me changeit todo tbd fixme redacted masked hidden removed secret password passwd pwd pass
    token key apikey api_key api-key credential credentials username user string str text value foo bar baz foobar
    foobarbaz xxx abc abc123 abcdef qwerty 12345 123456 1234567 12345678 123456789 1234567890 password1 password123
    mysecret my_secret my-secret mypassword my_password my-password secretkey secret_key secret-key notasecret
    not-a-secret your_password your-password yourpassword your_secret your-secret your_token your-token bearer basic
    optional required invalid wrong
    """.split())
_FORMS: Final = re.compile(
    r"""
      <[^<>]*> | \[[^\[\]]*\] | \{.*\} | %\(?\w*\)?s? | %\w+%   # <password>, {password}, {{ vault }}, %(name)s, %NAME%
    | \$\{.*\} | \$\(.*\) | \$\$?\w+ | @\w+@ | !\w+\s.*         # ${NAME}, $(command), $NAME, @NAME@, !Ref Name
    | (.)\1*                                                    # xxxxxxxx, ********
    | (?:x|\*|\.|-|_|\#|0)+
    | (?:your|my|the|some|an?|insert|enter|replace|change|put|add|use|set|fake|dummy|example|sample|test|mock)
      [-_ ](?:[a-z]+[-_ ]){0,4}[a-z]*
    | (?:[a-z]+[-_ ])*(?:here|goes[-_ ]here|placeholder|changeme|example|redacted)
    | \S*casemate-placeholder-\S*                               # what a function sees of an injected secret
    """,
    re.VERBOSE | re.IGNORECASE,
)
# `password = settings.db.password`, `token: process.env.TOKEN`, `get_secret(…)`: where no quotes are needed.
_CODE: Final = re.compile(
    r"(?:self|os|environ|env|process|config|settings|cfg|args|kwargs|request|params|secrets?|vault|data|local|var|module)"
    r"[.\[(].*|\w+\(.*\)?|\w+(?:\.\w+)*\[.*\]",
    re.IGNORECASE,
)
# The name of a secret, as of a variable: `password_from: DB_PASSWORD`, `secret: prod/db-password`.
_NAME: Final = re.compile(
    r"(?:[A-Z][A-Z0-9]*_)+(?:SECRETS?|PASSWORD|PASSWD|PWD|TOKEN|KEY|CREDENTIALS?|ID|URL|FILE|PATH|NAME)"
    r"|(?:[a-z]+[-_./])*(?:secrets?|password|passwd|token|key|credentials?)(?:[-_]?(?:id|file|path|name|url))?"
)
_REFERENCE: Final = re.compile(
    r"(?:secret|secrets|vault|ref|env|file|ssm|arn|op|keyring)[:][/a-zA-Z].*|/(?:[\w.-]+/)+[\w.-]*|\./.*"
)


def is_placeholder(value: str, quoted: bool = True) -> bool:
    """`quoted`: it stands in quotes, so that it is no expression."""
    if len(value) > 512:
        return False
    value = value.strip()
    plain = value.strip("<>[]{}()$%\"'`*. ")
    if not plain or plain.lower() in _WORDS:
        return True
    return any(form.fullmatch(value) for form in (_FORMS, _NAME, _REFERENCE)) or (
        not quoted and _CODE.fullmatch(value) is not None
    )


def is_sentence(value: str) -> bool:
    """A message about a password, not one: three words or more, none with a digit."""
    words = value.split()
    return len(words) >= 3 and not any(char.isdigit() for char in value)


def is_name(value: str) -> bool:
    """A long identifier, path or phrase has as many different letters as a random string."""
    words = [word for word in re.split(r"[-_/+.=\\]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d+\b)", value) if word]
    letters = [word for word in words if word.isalpha()]
    if not letters or sum(map(len, words)) - sum(map(len, letters)) > max(6, len(value) // 5):
        return False
    return sum(map(len, letters)) / len(letters) >= 4 and all(_is_word(word) for word in letters)


def _is_word(word: str) -> bool:
    return word.islower() or word.isupper() or word.istitle()
