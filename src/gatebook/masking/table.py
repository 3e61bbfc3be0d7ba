"""The detectors, one definition each, for this engine and any other: hints, pattern, check.

A *hint* is a cheap pattern that holds wherever the detector could find something, looked for in a view of the bytes (below).
It begins, in each of its alternatives, with a literal byte that is rare in ordinary rows, and looks back from there: that way
``re`` skips to those bytes, which makes it ten times faster. It never looks at what surrounds a finding, so that a whole row
can be asked at once, with length bytes between its cells. Its *marks* are literals for engines that find many of them at once:
where a hint holds, one of them stands in the lower-cased bytes; numbers have none. A detector whose only mark is one byte finds
nothing with a space or control character before that. The *pattern* is exact, asked only where a hint holds, and the *check*
decides (``checks.py``). A pattern that ignores case is tried only at its *heads*, looked for in the lower-cased bytes.

Patterns are of what ``re`` and PCRE2 read alike, over bytes.

Every pattern takes time linear in the text: repeats are possessive, and where one has no upper bound, the pattern cannot start
again inside of it. Order matters: url-password comes before email, which would take the password for a mailbox, and secret
comes last, since it takes whatever stands after its keys, covered or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gatebook.masking import checks

_SHAPE = bytes(0x30 if 0x30 <= byte < 0x3A else 0x41 if 0x41 <= byte < 0x5B else byte for byte in range(256))

# What a hint looks at. Each view maps bytes one by one, so that a part of the text has a part of the view.
VIEWS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "raw": bytes,
        "lower": bytes.lower,
        "shape": lambda data: data.translate(_SHAPE),  # digits as 0, capital letters as A
        "digits": lambda data: data.translate(_SHAPE, b" -"),  # the same without spaces and dashes
        "dial": lambda data: data.translate(_SHAPE, b" .()/-") if b"+" in data else b"",
    }
)


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of value to find. ``hints`` are (view, pattern); any of them may hold."""

    name: str
    hints: tuple[tuple[str, bytes], ...]
    pattern: bytes
    check: checks.Check
    marks: tuple[bytes, ...] = ()
    heads: bytes = b""


def _token(name: str, hint: bytes, marks: str, pattern: bytes) -> Detector:
    return Detector(name, (("raw", hint),), pattern, checks.Marker(name), _marks(marks))


def _marks(words: str) -> tuple[bytes, ...]:
    return tuple(words.encode().split())


# Behind a first byte: it is not inside a word or number, nor after a covered one; but what ends an escape, as in \n, is no part
# of a word. Looks back over that byte, since a pattern that begins with a byte is found faster than one that begins with this.
_EDGE = rb"(?:(?<![0-9A-Za-z*].)|(?<=\\[nrt].)|(?<=\\u[0-9a-fA-F]{4}.))"
_TOKEN_EDGE = rb"(?:(?<![0-9A-Za-z_-].)|(?<=\\[nrt].))"
_END = rb"(?![0-9A-Za-z])"

_PEM_KIND = rb"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"

_CARD = (
    rb"[2-69]" + _EDGE + rb"(?<![0-9][.].)(?:[0-9]{12,18}"
    rb"|(?<![0-9]-.)[0-9]{3}(?P<four>[ -])[0-9]{4}(?P=four)[0-9]{4}(?P=four)[0-9]{1,4}(?:(?P=four)[0-9]{1,3})?"
    rb"|(?<![0-9]-3)[0-9]{3}(?P<six>[ -])[0-9]{6}(?P=six)[0-9]{4,5})" + _END + rb"(?!-[0-9A-Za-z])(?![.][0-9]{0,6}[1-9])"
)

_PHONE = (
    rb"[+(0-9](?:"
    # international
    rb"(?<=\+)[1-9](?:[ .()/-]{0,3}[0-9]){7,24}"
    # North America: with dashes, dots or an area code in parentheses
    rb"|(?:(?<=\()[2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ]"
    rb"|(?<=[1-9])" + _EDGE + rb"(?<![0-9A-Za-z]-.)(?<![0-9][./].)(?:(?<=1)[-. ][2-9]|(?<!1))"
    rb"[0-9]{2}(?:-[2-9][0-9]{2}-|[.][2-9][0-9]{2}[.]))[0-9]{4}(?![-./]?[0-9A-Za-z])"
    # five pairs, as in France
    rb"|(?<=0)" + _EDGE + rb"(?<![0-9][ .,/:-].)[1-9](?:(?: [0-9]{2}){4}|(?:[.][0-9]{2}){4})(?![ .,/:-]?[0-9A-Za-z])"
    # an area code with its leading zero, as in Germany and the United Kingdom
    rb"|(?:(?<=0)" + _EDGE + rb"(?<![0-9][ .,/:-].)[1-9][0-9]{1,4}[ /]|(?<=\()0[1-9][0-9]{1,4}\) ?)"
    rb"(?:[0-9]{3,4} [0-9]{3,4}|[0-9]{6,8})(?![ .,/:-]?[0-9])" + _END + rb")"
)

_AUTHORIZATION = (
    rb"(?i:authorization[\\\"' ]{0,6}[:=][\\\"' ]{0,6}(?:(?P<scheme>basic|bearer|token|negotiate|apikey)[ ]{1,4})?"
    rb"|(?<![a-z])bearer[ ]{1,4})"
    rb"(?P<value>[A-Za-z0-9._~+/-]{8,}+={0,2})"
)

_AWS_SECRET = (
    rb"(?:(?i:secret[_ .-]?(?:access[_ .-]?)?key|aws[_ .-]?secret)[\\\"' ]{0,6}(?:=>|[:=,])[\\\"' ]{0,6}"
    rb"|A(?:KIA|SIA)[A-Z0-9]{16}[\\\"';:,|\s]{1,6})"
    rb"(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)

# What "key" must follow to be the key of a secret. Looks back, so that the pattern's heads are few.
_KEY_WORDS = b"api access private auth encryption signing master account storage shared client app session license ssh"
_KEYS = rb"(?:%s)" % b"|".join(rb"(?<=%skey)|(?<=%s[_ .-]key)" % (word, word) for word in _KEY_WORDS.split())

# A double quote inside of single ones, unless it ends the JSON string or array element in which all of this may stand.
_INNER_QUOTE = rb"\"(?![ \t]{0,8}(?:[,:}\])]|(?!.)))"

_SECRET = (
    rb"(?i:(?P<strong>pass(?:word|wd|phrase|code)|pwd|secret(?:[_ .-]?(?:access[_ .-]?)?key)?|identified[ ]by)"
    rb"|(?P<weak>token|credential|key" + _KEYS + rb")"
    rb")(?i:s|[0-9]{1,2})?(?i:[_-]?(?:value|hash|digest|base64|b64|encrypted|plain|raw|text|string))?"
    # what closes the key, and what stands between it and its value
    rb"(?P<closed>(?:\\{0,4}[\"'`\]]){0,2})(?P<sep>[ \t]{0,8}(?:=>|:=|==?|:)[ \t]{0,8}|[ \t]{1,8}(?=E?'|\$))"
    rb"(?:(?:[A-Za-z_.]{1,40}\()?(?:"
    rb"\"\"(?P<doubled>[^\"\\\0\r\n]++)(?=\"\")"  # in a row's or a CSV's text
    rb"|\"(?P<double>(?:[^\"\\\0\r\n]|\\[^\0\r\n])++)"  # JSON, YAML, code
    rb"|\\\"(?P<escaped>(?:[^\"\\\0\r\n]|\\\\(?:\\[\"\\]|[^\"\\\0\r\n]))++)"  # JSON inside a JSON or array text
    rb"|\\{2,8}\"(?P<deeper>[^\"\\\0\r\n]++)"
    rb"|\\{0,8}E?'(?:(?P<single>(?:[^'\"\\\0\r\n]|''|\\[^\"\0\r\n]|" + _INNER_QUOTE + rb")++)(?=')"  # SQL, YAML, code
    rb"|(?P<open>(?:[^'\"\\\0\r\n]|\\[^\"\0\r\n])++))"
    rb"|\$[A-Za-z_]{0,20}\$(?P<dollar>[^$\"\\\0\r\n]++))"
    rb"|(?P<bare>[^\x00-\x20\"'\\,;&(){}\[\]|`<>]++))"
)

TABLE: tuple[Detector, ...] = (
    Detector(
        "url-password",
        (("raw", rb":\\*/\\*/(?=[^\x00-\x20/\"']*@)"),),
        rb":\\*/\\*/[^\x00-\x20/:@?#\"'\\]*+:(?P<value>[^\x00-\x20/\"']+)@",
        checks.url_password,
        _marks("@"),
    ),
    _token(
        "private-key",
        rb"-----BEGIN ",
        "-----begin",
        rb"-----BEGIN " + _PEM_KIND + rb"(?:[A-Za-z0-9+/=\s:,.()]|-(?!----)|\\++[nrt/])*+(?:-----END " + _PEM_KIND + rb")?",
    ),
    _token("gatebook-token", rb"_(?<=gbt_)", "gbt_", rb"gbt_[A-Za-z0-9_-]{16,}+"),
    _token(
        "jwt",
        rb"J(?<=eyJ)",
        "eyj",
        rb"e" + _TOKEN_EDGE + rb"yJ[A-Za-z0-9_-]{8,}+[.][A-Za-z0-9_-]*+[.][A-Za-z0-9_-]++(?:[.][A-Za-z0-9_-]++){0,2}",
    ),
    _token(
        "github-token",
        rb"_(?:(?<=gh[pousr]_)|(?<=github_pat_))",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        rb"gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{22,}+",
    ),
    _token(
        "gitlab-token",
        rb"-(?:(?<=glpat-)|(?<=glptt-)|(?<=gl[dr]t-)|(?<=glcbt-)|(?<=glft-)|(?<=glsoat-)|(?<=glimt-)|(?<=glagent-)"
        rb"|(?<=glffct-))[A-Za-z0-9_-]{20}",
        "glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glimt- glagent- glffct-",
        rb"gl(?:pat|ptt|dt|rt|cbt|ft|soat|imt|agent|ffct)-[A-Za-z0-9_-]{20,}+(?:[.][A-Za-z0-9_-]++){0,3}",
    ),
    _token(
        "slack-token",
        rb"-(?:(?<=xox[abeoprs]-)|(?<=xapp-))|/services/",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- /services/",
        rb"xox[abeoprs]-[A-Za-z0-9-]{10,}+|xapp-[0-9]-[A-Za-z0-9-]{20,}+|hooks[.]slack[.]com/services/[A-Za-z0-9/]{20,}+",
    ),
    _token(
        "stripe-key",
        rb"_(?:(?<=[sr]k_)(?:live|test)_|(?<=whsec_))",
        "k_live_ k_test_ whsec_",
        rb"sk_(?:live|test)_[A-Za-z0-9]{10,}+|rk_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/]{24,}+={0,2}",
    ),
    _token("anthropic-key", rb"-(?<=sk-)ant-", "sk-ant-", rb"sk-ant-[A-Za-z0-9_-]{16,}+"),
    Detector(
        "openai-key",
        (("raw", rb"-(?<=sk-)[A-Za-z0-9_-]{20}"),),
        rb"s" + _TOKEN_EDGE + rb"k-[A-Za-z0-9_-]{20,}+",
        checks.openai,
        _marks("sk-"),
    ),
    _token(
        "google-key",
        rb"I(?<=AI)za|[.](?<=ya29[.])|-(?<=GOCSPX-)",
        "aiza ya29. gocspx-",
        rb"AIza[A-Za-z0-9_-]{35,}+|ya29[.][A-Za-z0-9_-]{20,}+|GOCSPX-[A-Za-z0-9_-]{20,}+",
    ),
    _token("npm-token", rb"_(?<=npm_)", "npm_", rb"npm_[A-Za-z0-9]{36,}+"),
    _token("pypi-token", rb"-(?<=pypi-)", "pypi-", rb"pypi-[A-Za-z0-9_-]{32,}+"),
    Detector(
        "aws-secret-key",
        (("lower", rb"cret(?<=secret)"), ("raw", rb"IA(?<=A[KS]IA)[A-Z0-9]{16}")),
        _AWS_SECRET,
        checks.Marker("aws-secret-key"),
        _marks("secret akia asia"),
        heads=rb"secret|aws|akia|asia",
    ),
    _token(
        "aws-access-key",
        rb"IA(?<=A[KSB]IA)[A-Z0-9]{16}|CA(?<=ACCA)[A-Z0-9]{16}",
        "akia asia abia acca",
        rb"A" + _EDGE + rb"(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}" + _END,
    ),
    Detector(
        "authorization",
        (("lower", rb"zation(?<=authorization)|bearer "),),
        _AUTHORIZATION,
        checks.authorization,
        (b"authorization", b"bearer "),
        heads=rb"authorization|bearer",
    ),
    Detector(
        "email",
        (("raw", rb"@(?<=[A-Za-z0-9._%+\x80-\xff-]@)[A-Za-z0-9\x80-\xff-]"),),
        rb"(?<![A-Za-z0-9._%+\x80-\xff-])(?P<local>[A-Za-z0-9._%+\x80-\xff-]++)"
        rb"@(?P<domain>[A-Za-z0-9\x80-\xff-]++(?:[.][A-Za-z0-9\x80-\xff-]++)++)",
        checks.email,
        _marks("@"),
    ),
    Detector(
        "iban",
        (("shape", rb"A(?<=AA)00(?: ?[A0]){11}"),),
        rb"[A-Z]" + _EDGE + rb"[A-Z][0-9]{2}(?=(?P<rest>(?: ?[A-Z0-9]){11,30}))",
        checks.iban,
    ),
    Detector("card", (("digits", rb"0000000000000"),), _CARD, checks.card),
    Detector(
        "ssn",
        (("shape", rb"-00-0000(?<=000-00-0000)"),),
        rb"[0-8]" + _EDGE + rb"(?<![0-9*]-.)[0-9]{2}-[0-9]{2}-[0-9]{4}" + _END + rb"(?!-[0-9A-Za-z])",
        checks.ssn,
    ),
    Detector(
        "phone",
        (
            ("dial", rb"\+00000000"),
            (
                "shape",
                rb"-0000(?<=000-000-0000)|[.]0000(?<=000[.]000[.]0000)|\)(?<=000\)) ?000[-. ]0000"
                rb"| 00 00 00 00|[.]00[.]00[.]00[.]00| (?:000000|0000? 000)|/ ?(?:000000|0000? 000)|\) ?(?:000000|0000? 000)",
            ),
        ),
        _PHONE,
        checks.phone,
    ),
    Detector(
        "secret",
        (("lower", rb"pass(?:w|phr|code)|wd(?<=pwd)|cret(?<=secret)|ken(?<=token)|key|dential|fied by"),),
        _SECRET,
        checks.secret,
        (*_marks("passw passphr passcode pwd secret token key dential"), b"fied by"),
        heads=rb"pass|pwd|secret|identified by|token|credential|key",
    ),
)
