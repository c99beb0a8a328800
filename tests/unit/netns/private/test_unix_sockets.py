import os
import socket
from pathlib import Path

from netns.private.unix_sockets import host_sockets, is_socket, paths, sockets_in

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


def test_sockets_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("socket")
    with bound(str(tmp_path / "socket")):
        assert list(sockets_in(str(tmp_path))) == [str(tmp_path / "socket")]
        assert is_socket(str(tmp_path / "socket"))
    assert not is_socket(str(tmp_path / "link"))
    assert not is_socket(str(tmp_path / "none"))
    assert list(sockets_in(str(tmp_path / "none"))) == []
