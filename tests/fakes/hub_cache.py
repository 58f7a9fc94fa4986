"""A Hugging Face cache as the libraries lay it out, built by hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Repository:
    """One repository in a cache at ``root``."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.root / f"models--{self.name.replace('/', '--')}"

    def put(self, revision: str, name: str, content: bytes, address: str = "") -> Path:
        """A file of a commit: a link to its blob, which is named ``address`` or by its SHA-256."""
        blob = self.folder / "blobs" / (address or hashlib.sha256(content).hexdigest())
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = self.folder / "snapshots" / revision / name
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(Path(name).parts) + 1)
        link.symlink_to(f"{up}blobs/{blob.name}")
        return link

    def branch(self, revision: str, name: str = "main") -> None:
        path = self.folder / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(revision, encoding="ascii")

    def files(self) -> list[str]:
        """Everything in its folder but folders."""
        return tree(self.folder)


def tree(folder: Path) -> list[str]:
    """Every file and link below ``folder``, by path."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )
