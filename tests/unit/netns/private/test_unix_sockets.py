import os
import socket
from pathlib import Path

from netns.private.unix_sockets import content, host_sockets, is_socket, paths

HEAD = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
LISTENS = b"0000000000000000: 00000002 00000000 00010000 0001 01 "


def test_a_list_without_paths() -> None:
    assert list(paths(HEAD)) == []
    assert list(paths(b"")) == []
    assert list(paths(HEAD + LISTENS + b"  579\n" + LISTENS + b"40073555 @abstract\nx\n")) == []


def test_paths_with_odd_names() -> None:
    names = [b"/run/a", b"/tmp/a\nb", b"/tmp/c d\t\\x", b"/tmp/\xff", b"relative", b"/last\n"]
    table = HEAD + b"".join(LISTENS + b"  579 " + name + b"\n" for name in names)
    assert list(paths(table)) == names


def bound(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    return sock


def test_sockets_of_this_host_are_found(tmp_path: Path) -> None:
    folder = os.fsencode(os.path.realpath(tmp_path))
    names = [b"plain", b"new\nline", b"with space", b"not utf \xff"]
    socks = [bound(os.fsdecode(folder + b"/" + name)) for name in names]
    found = host_sockets()
    assert {os.fsdecode(folder + b"/" + name) for name in names} <= set(found)
    for sock in socks:
        sock.close()


def test_a_relative_path_is_found_by_the_folder_of_its_process(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with bound("relative"):
            assert f"{os.path.realpath(tmp_path)}/relative" in host_sockets()
    finally:
        os.chdir(before)


def test_what_is_in_a_folder(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert content(folder) == ([], False)
    with bound(f"{folder}/socket"):
        assert content(folder) == ([f"{folder}/socket"], False)
        (tmp_path / "link").symlink_to("socket")
        assert content(folder) == ([f"{folder}/socket"], True)
        assert is_socket(f"{folder}/socket")
        assert not is_socket(f"{folder}/link")
    assert not is_socket(f"{folder}/none")
    assert content(f"{folder}/none") == ([], False)


def test_a_pipe_is_no_socket(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert content(str(tmp_path)) == ([], True)
