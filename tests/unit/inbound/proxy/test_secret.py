"""Who knows the token is let in, however that is shown; who does not is not."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.proxy.secret import BYTES, USER, Secret

SECRET = Secret.of(bytes(range(240, 240 + BYTES)))


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


def test_a_token_stands_in_urls_as_it_is() -> None:
    assert SECRET.userinfo == f"{USER}:{SECRET.token}@"
    assert set(SECRET.token) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )
    assert SECRET.token not in repr(SECRET)


def test_it_is_shown_as_basic() -> None:
    text = f"{USER}:{SECRET.token}"
    assert SECRET.fits_basic(basic(text))
    assert SECRET.fits_basic(basic(text).replace(b"Basic ", b"bASIC   "))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Basic",
        b"Basic !",
        b"Basic a",
        b"Bearer " + SECRET.token.encode(),
        basic(""),
        basic(USER),
        basic(f"{USER}:"),
        basic(f"root:{SECRET.token}"),
        basic(f"{USER}:{SECRET.token}x"),
        basic(f"{USER}:{SECRET.token[:-1]}"),
        basic(f"{USER}:é"),
    ],
)
def test_what_is_not_it(value: bytes) -> None:
    assert not SECRET.fits_basic(value)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_anything_else_does_not_fit(user: bytes, password: bytes) -> None:
    assert not SECRET.fits(user, password)
    assert not SECRET.fits_basic(user + b" " + password)


@pytest.mark.parametrize("path", [b"/", b"/v1/messages", b"/v1?a=/b", b"/?a"])
def test_a_path_behind_it_is_the_servers(path: bytes) -> None:
    assert SECRET.below(SECRET.path.encode() + path) == path


def test_the_token_alone_is_the_root() -> None:
    assert SECRET.below(SECRET.path.encode()) == b"/"


@pytest.mark.parametrize("path", [b"", b"/", b"/v1", b"//", SECRET.token.encode(), b"/x/v1", b"*"])
def test_other_paths_are_not(path: bytes) -> None:
    assert SECRET.below(path) is None
