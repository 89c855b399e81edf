"""The scanner and its texts, compared with what Go 1.26's encoding/json answered."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import base64, go_json

BEGIN = "looking for beginning of value"
KEY = "looking for beginning of object key string"
PAIR = "after object key:value pair"
HEX = r"in \u hexadecimal character escape"
EXPONENT = "in exponent of numeric literal"
POINT = "after decimal point in numeric literal"

INVALID = [
    (b"abc", "a", BEGIN),
    (b"[1,]", "]", BEGIN),
    (b'{"a":}', "}", BEGIN),
    (b"\xef\xbb\xbf{}", "ï", BEGIN),
    (b"\x1f\x8b", r"\x1f", BEGIN),
    (b"\x80", r"\u0080", BEGIN),
    (b"\xa0", r"\u00a0", BEGIN),
    (b"\x7f", r"\x7f", BEGIN),
    (b"'x'", r"\'", BEGIN),
    (b"\\", r"\\", BEGIN),
    (b"{,}", ",", KEY),
    (b'{"a":1,}', "}", KEY),
    (b"{a:1}", "a", KEY),
    (b'{"a" 1}', "1", "after object key"),
    (b'{"a":1 2}', "2", PAIR),
    (b'{"a":01}', "1", PAIR),
    (b'{"a":"b"c"}', "c", PAIR),
    (b'{"a":1"b"}', '"', PAIR),
    (b"[1 2]", "2", "after array element"),
    (b"[1}", "}", "after array element"),
    (b'"\n"', r"\n", "in string literal"),
    (b'"\x00"', r"\x00", "in string literal"),
    (rb'"\q"', "q", "in string escape code"),
    (rb'"\a"', "a", "in string escape code"),
    (rb'"\u12x"', "x", HEX),
    (rb'"\u"', '"', HEX),
    (b"[-]", "]", "in numeric literal"),
    (b"-a", "a", "in numeric literal"),
    (b"[1.]", "]", POINT),
    (b"1.e5", "e", POINT),
    (b"[1ex]", "x", EXPONENT),
    (b"[1e+]", "]", EXPONENT),
    (b"[2.5E-]", "]", EXPONENT),
    (b"[trux]", "x", "in literal true (expecting 'e')"),
    (b"fa1se", "1", "in literal false (expecting 'l')"),
    (b"nUll", "U", "in literal null (expecting 'u')"),
    (b"NaN", "N", BEGIN),
    (b"Infinity", "I", BEGIN),
    (b"[" * 10_001, "[", "exceeded max depth"),
    (b'{"a":' * 10_001, "{", "exceeded max depth"),
]

UNFINISHED = [
    *(b"{", b'{"', b'{"a', b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":{}', b"["),
    *(b"[1", b"[1,", b'"', b'"\\', b'"\\u', b'"\\u00e', b"-", b"1.", b"1e", b"1e+", b"tru", b" n"),
]


@pytest.mark.parametrize(("body", "char", "state"), INVALID)
def test_syntax_errors(body, char, state):
    with pytest.raises(BadRequest) as refused:
        go_json.parse(body)
    assert refused.value.message == f"invalid character '{char}' {state}"


@pytest.mark.parametrize("body", UNFINISHED)
def test_a_value_that_does_not_end(body):
    with pytest.raises(BadRequest) as refused:
        go_json.parse(body)
    assert refused.value.message == "unexpected EOF"


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_a_body_without_a_value(body):
    with pytest.raises(BadRequest) as refused:
        go_json.parse(body)
    assert refused.value.message == "missing request body"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{} junk", {}),
        (b" null}", None),
        (b'"x"y', "x"),
        (b"truex", True),
        (b'{"a":1}{"b":2}', {"a": go_json.Number("1")}),
        (b"12abc", go_json.Number("12")),
        (b"012", go_json.Number("0")),
        (b"[-0.50E+3]", [go_json.Number("-0.50E+3")]),
        (b"[[],{},[{}]]", [[], {}, [{}]]),
        (b'{"a":1,"a":"2"}', {"a": "2"}),
    ],
)
def test_only_the_first_value_counts(body, value):
    assert go_json.parse(body) == value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"\"\\\/\b\f\n\r\t"', '"\\/\b\f\n\r\t'),
        (rb'"\u00e9\ud83d\ude00"', "é😀"),
        (rb'"\ud800x"', "\ufffdx"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd😀"),
        (rb'"\udc00\ud800"', "\ufffd\ufffd"),
        (b'"\xff\xc3"', "\ufffd\ufffd"),
        (b'"\xe2\x82x"', "\ufffd\ufffdx"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'"\xc3\xa9\x7f\xc2\x85"', "é\x7f\x85"),
    ],
)
def test_strings_hold_only_characters(body, text):
    assert go_json.parse(body) == text


def test_depth_that_go_takes_is_taken():
    value = go_json.parse(b"[" * 10_000 + b"]" * 10_000)
    depth = 0
    while value:
        value = value[0]
        depth += 1
    assert depth == 9_999


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def numbers_read(value):
    return go_json.plain(value, go_json.Place("", "", []))


@given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_python_writes_is_read_back(value, ascii_only, indent):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert numbers_read(go_json.parse(body.encode("utf-8", "surrogatepass"))) == json.loads(
        body.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


@given(st.binary() | st.text(alphabet='{}[]",:\\u0aeE+-.tfn l ').map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(body):
    try:
        go_json.parse(body)
    except BadRequest as refused:
        assert refused.message  # noqa: PT017
        assert len(refused.message.splitlines()) == 1  # noqa: PT017


@given(json_values, st.data())
def test_a_value_cut_short_is_unfinished(value, data):
    body = json.dumps([value]).encode()
    cut = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(BadRequest, match=r"^unexpected EOF$"):
        go_json.parse(body[:cut])


@pytest.mark.parametrize(
    ("key", "folded"),
    [
        ("Model", "model"),
        ("KEEP_ALIVE", "keep_alive"),
        ("\u212aeep", "keep"),
        ("me\u017fsages", "messages"),
    ],
)
def test_keys_fold_as_in_go(key, folded):
    assert go_json.fold(key) == folded


def test_a_sharp_s_is_not_two():
    assert go_json.fold("me\u00dfages") != "messages"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"\\\n\x07', r'"a\"\\\n\a"'),
        ("\x01\x7f\x85", r'"\x01\x7f\u0085"'),
        ("é\u2028\U0001f600\U000e0001", '"é\\u2028\U0001f600\\U000e0001"'),
    ],
)
def test_quoting(text, quoted):
    assert go_json.quoted(text) == quoted


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("YQ==", "YQ=="),
        ("aGk=\r\n", "aGk="),
        ("aG\nk=", "aGk="),
        ("YQ=\n=\n", "YQ=="),
        ("data:image/png;base64,aGk=", "aGk="),
        ("DATA:image/svg+xml;charset=utf-8;BASE64,YQ==", "YQ=="),
        ("data:;base64,", ""),
    ],
)
def test_base64(text, plain):
    assert base64.standard(text) == plain


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        ("data:x", 4),
        ("http://x", 4),
        ("data:image/png;base64,!", 4),
        ("!", 0),
        ("aGk", 0),
        ("aGVsbG8", 4),
        ("aG\nk", 1),
        ("aGVs-G8=", 4),
        ("aé==", 1),
        ("=", 0),
        ("a===", 1),
        ("YQ=", 3),
        ("YQ=\n", 4),
        ("YQ=x", 2),
        ("YQ==YQ==", 4),
        ("aGk=x", 4),
        ("ACCC=", 4),
        ("C9b\rA====\n", 5),
        ("aGk=\n\n=", 6),
    ],
)
def test_base64_that_go_refuses(text, byte):
    with pytest.raises(BadRequest) as refused:
        base64.standard(text)
    assert refused.value.message == f"illegal base64 data at input byte {byte}"


@given(st.text(alphabet="AbC9+/=\r\n- é", max_size=12))
def test_base64_is_read_or_refused_inside_the_text(text):
    try:
        plain = base64.standard(text)
    except BadRequest as refused:
        assert 0 <= int(refused.message.rsplit(" ", 1)[1]) <= len(text.encode())  # noqa: PT017
    else:
        assert plain == text.replace("\r", "").replace("\n", "")
