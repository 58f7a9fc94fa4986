"""Where the index is, by the mount tables of real systems."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import psutil
import pytest

from mac_whisper_speedtest.store import location

# As psutil.disk_partitions(all=True) gives them. Linux's are recorded, but for the names of servers
# and folders; macOS's are constructed after its mount(8).
LINUX = [
    ("overlay", "/", "overlay", "rw,relatime,lowerdir=/l,upperdir=/u,workdir=/w"),
    ("proc", "/proc", "proc", "rw,nosuid,nodev,noexec,relatime"),
    ("/dev/vda1", "/srv", "ext4", "rw,relatime"),
    ("server:/export/home", "/srv/home", "nfs4", "rw,relatime,vers=4.2,proto=tcp"),
    ("//server/share", "/mnt/a b", "cifs", "rw,relatime,vers=3.1.1"),
    ("tmpfs", "/srv/home/local", "tmpfs", "rw"),
    ("me@server:", "/mnt/ssh", "fuse.sshfs", "rw,nosuid,nodev,relatime,user_id=0"),
    ("share", "/mnt/over", "virtiofs", "rw"),
    ("/dev/vdb1", "/mnt/over", "xfs", "rw"),
]
MACOS = [
    ("/dev/disk3s1s1", "/", "apfs", "ro,local,rootfs,dovolfs,journaled,multilabel"),
    ("devfs", "/dev", "devfs", "rw,local,dontbrowse,multilabel"),
    ("/dev/disk3s5", "/System/Volumes/Data", "apfs", "rw,local,dovolfs,dontbrowse,journaled"),
    ("map auto_home", "/System/Volumes/Data/home", "autofs", "rw,dontbrowse,automounted"),
    ("//user@server/share", "/Volumes/share", "smbfs", "rw,nodev,nosuid"),
    ("server:/export", "/Volumes/on the (net) disk", "nfs", "rw,nodev,nosuid,automounted"),
]


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
def test_the_deepest_mount_says_what_a_folder_is_on(path: str, kind: str) -> None:
    assert location.kind_at(PurePosixPath(path), LINUX) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Users/me", "apfs"),
        ("/Volumes/share/data", "smbfs"),
        ("/Volumes/on the (net) disk/data", "nfs"),
        ("/Volumes/other", "apfs"),
    ],
)
def test_the_same_on_macos(path: str, kind: str) -> None:
    assert location.kind_at(PurePosixPath(path), MACOS) == kind


def test_a_folder_that_no_mount_holds_is_not_known() -> None:
    assert location.kind_at(PurePosixPath("/data"), []) == ""
    assert location.kind_at(PurePosixPath("/data"), LINUX[2:]) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own table is read")
def test_psutil_names_the_kinds_that_the_system_does() -> None:
    (kind,) = {
        line.split()[2]
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        if line.split()[1] == "/proc"
    }
    assert location.kind_at(PurePosixPath("/proc/self"), psutil.disk_partitions(all=True)) == kind


def test_mounts_that_cannot_be_read_leave_the_index_beside_the_runs(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_options: bool) -> list[object]:
        raise PermissionError("/etc/mtab")

    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    assert location.index_location() == location.IndexLocation(data / "index.sqlite")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smbfs", "9p", "fuse.sshfs", "NFS"])
def test_these_are_network_file_systems(kind: str) -> None:
    assert location.is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "apfs", "overlay", "tmpfs", "btrfs", "zfs", "xfs", ""])
def test_these_are_not(kind: str) -> None:
    assert not location.is_network(kind)


def chosen(kind: str = "ext4", *, data: bool = True, cache: bool = True) -> location.IndexLocation:
    return location.choose_location(
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
    other = location.choose_location(
        Path("/data2"), Path("/cache"), kind="nfs", data_writable=True, cache_writable=True
    )
    assert other.path != chosen("nfs").path


def test_a_data_folder_that_may_only_be_read_has_its_index_in_the_cache() -> None:
    found = chosen(data=False)
    assert found.path is not None
    assert found.path.parent == Path("/cache")
    assert found.reason == "/data is read-only"


def test_where_nothing_can_be_written_there_is_no_file() -> None:
    assert chosen(data=False, cache=False).path is None


def test_here_is_beside_the_runs_before_there_are_any(data: Path) -> None:
    assert not data.exists()
    assert location.index_location() == location.IndexLocation(data / "index.sqlite")
