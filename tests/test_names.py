"""Which names are possible, and which are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.names import FORBIDDEN, LEADING, MAX_NAME, RESERVED, check_name, fold, is_name


@pytest.mark.parametrize(
    "name",
    ["bob", "B", "ann lee", "User 1", "o'neill", "名前", "Zoë", "client1", "a/b#c@d!e?f", "x" * 32,
     "😀", "1", "a.b-c_d", "é" * 32],
)  # fmt: skip
def test_these_are_names(name: str):
    assert is_name(name)
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", " bob", "bob ", "a  b", "x" * 33, "*", "a|b", "a~b", 'a"b', "a:b", "a*b",
     "/bob", "#bob", "@bob", "!bob", "?bob", "a\nb", "a\tb", "a\x00b", "a\x1b[31mb", "a\x7fb",
     "a\u202eb", "a\u200bb", "\u00a0bob", "bob\u3000", "a\ud800b", "a\u2028b"],
)  # fmt: skip
def test_these_are_none(name: str):
    assert not is_name(name)
    with pytest.raises(PeerError) as refused:
        check_name(name)
    assert refused.value.code is ErrorCode.BAD_NAME


@pytest.mark.parametrize("name", ["＊", "ａ｜ｂ", "／bob", "＃x", "a：b", "？"])
def test_what_reads_as_a_forbidden_character_is_forbidden(name: str):
    assert not is_name(name)


@pytest.mark.parametrize("word", sorted(RESERVED))
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
def test_reserved_words_are_no_names_however_they_are_written(word: str, spelling):
    assert not is_name(spelling(word))


def test_reserved_words_in_other_widths_are_reserved():
    assert not is_name("ｓｅｒｖｅｒ")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Bob", "bob"), ("ＢＯＢ", "bob"), ("Zoë", "Zoe\u0308"), ("ann lee", "Ann\u3000Lee")],
)
def test_look_alikes_are_the_same_name(one: str, other: str):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("bob", "bop"), ("ann lee", "annlee"), ("a", "á")])
def test_different_names_stay_different(one: str, other: str):
    assert fold(one) != fold(other)


def test_a_refusal_says_what_is_wrong():
    with pytest.raises(PeerError, match="longer than 32"):
        check_name("x" * 33)
    with pytest.raises(PeerError, match="reserved"):
        check_name("Server")
    with pytest.raises(PeerError, match="may not begin with /"):
        check_name("/x")


TRICKY = st.text(st.sampled_from('aA *|~:"/＊｜　\u0301\u200d\u05d0'), max_size=40)


@given(st.text(max_size=40) | TRICKY)
def test_whatever_is_tried_as_a_name_is_a_name_or_refused(text: str):
    if not is_name(text):
        return
    key = check_name(text)
    assert len(text) <= MAX_NAME
    assert FORBIDDEN.isdisjoint(key)
    assert key[:1] not in LEADING
    assert key not in RESERVED
    assert key == key.strip() != ""


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=MAX_NAME + 8))
def test_names_in_ascii_are_folded_as_the_profile_says(name: str):
    try:
        folded = get_profile("Nickname").enforce(name)
    except UnicodeError:
        with pytest.raises(PeerError):
            fold(name)
    else:
        assert fold(name) == folded
