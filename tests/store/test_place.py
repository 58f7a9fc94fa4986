"""Where the index lies, by what real systems said of their file systems."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from mac_whisper_speedtest.store import location

# Recorded on Linux, but for the names of servers and folders.
PROC_MOUNTS = r"""overlay / overlay rw,relatime,lowerdir=/l,upperdir=/u,workdir=/w 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
/dev/vda1 /srv ext4 rw,relatime 0 0
server:/export/home /srv/home nfs4 rw,relatime,vers=4.2,proto=tcp 0 0
//server/share /mnt/a\040b cifs rw,relatime,vers=3.1.1 0 0
tmpfs /srv/home/local tmpfs rw 0 0
me@server: /mnt/ssh fuse.sshfs rw,nosuid,nodev,relatime,user_id=0 0 0
share /mnt/over virtiofs rw 0 0
/dev/vdb1 /mnt/over xfs rw 0 0
"""
# As macOS prints them (man 8 mount).
MACOS_MOUNT = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect, root data)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//user@server/share on /Volumes/share (smbfs, nodev, nosuid, mounted by user)
server:/export on /Volumes/on the (net) disk (nfs, nodev, nosuid, automounted)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "overlay"),
        ("/srv/data", "ext4"),
        ("/srv/home", "nfs4"),
        ("/srv/home/me/data", "nfs4"),
        ("/srv/homes", "ext4"),
        ("/srv/home/local/x", "tmpfs"),
        ("/mnt/a b/data", "cifs"),
        ("/mnt/ssh/data", "fuse.sshfs"),
        ("/mnt/over/data", "xfs"),
    ],
)
def test_the_deepest_mount_of_proc_mounts_says_what_a_folder_is_on(path: str, kind: str) -> None:
    assert location.in_proc_mounts(PROC_MOUNTS, PurePosixPath(path)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Users/me", "apfs"),
        ("/Volumes/share/data", "smbfs"),
        ("/Volumes/on the (net) disk/data", "nfs"),
        ("/Volumes/other", "apfs"),
    ],
)
def test_the_same_of_what_macos_prints(path: str, kind: str) -> None:
    assert location.in_mount_output(MACOS_MOUNT, PurePosixPath(path)) == kind


@pytest.mark.parametrize("text", ["", "\n\n", "one\n", "a b\n", "on (\n"])
def test_what_says_nothing_is_not_known(text: str) -> None:
    assert location.in_proc_mounts(text, PurePosixPath("/data")) == ""
    assert location.in_mount_output(text, PurePosixPath("/data")) == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smbfs", "9p", "fuse.sshfs", "NFS"])
def test_these_are_network_file_systems(kind: str) -> None:
    assert location.is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "apfs", "overlay", "tmpfs", "btrfs", "zfs", "xfs", ""])
def test_these_are_not(kind: str) -> None:
    assert not location.is_network(kind)


def chosen(kind: str = "ext4", *, data: bool = True, cache: bool = True) -> location.IndexLocation:
    return location.choose(
        Path("/data"), Path("/cache"), kind=kind, data_writable=data, cache_writable=cache
    )


def test_on_a_local_disk_the_index_lies_beside_the_runs() -> None:
    assert chosen() == location.IndexLocation(Path("/data/index.sqlite"))


def test_on_a_network_file_system_it_lies_in_the_local_cache_and_says_why() -> None:
    found = chosen("nfs4")
    assert found.path is not None
    assert found.path.parent == Path("/cache")
    assert found.reason == "/data is on a network file system (nfs4)"


def test_two_data_folders_have_two_indexes_in_one_cache() -> None:
    other = location.choose(
        Path("/data2"), Path("/cache"), kind="nfs", data_writable=True, cache_writable=True
    )
    assert other.path != chosen("nfs").path


def test_a_data_folder_that_may_only_be_read_has_its_index_in_the_cache() -> None:
    found = chosen(data=False)
    assert found.path is not None
    assert found.path.parent == Path("/cache")
    assert found.reason == "/data may only be read"


def test_where_nothing_can_be_written_there_is_no_file() -> None:
    assert chosen(data=False, cache=False).path is None


def test_here_is_beside_the_runs_before_there_are_any(data: Path) -> None:
    assert not data.exists()
    assert location.here() == location.IndexLocation(data / "index.sqlite")
