"""Allow-list of a run's public files, with paths, users and hosts removed.

config.json          with paths, users and hosts removed
model.safetensors    unchanged, as is sequence.safetensors if there is a second stage
README.md            the model card
metrics.json         metrics of the run, with paths, users and hosts removed
figures/*.png        plots with known names, never a picture of a patient
0/ 1/ …              members of an ensemble: config, weights, card
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ich_cli.core.bundle import (
    CARD,
    CONFIG,
    SEQUENCE,
    WEIGHTS,
    BundleConfig,
    config_text,
    is_pinned,
    minimal_card,
    read_config,
    read_config_values,
    shipped_path,
)
from ich_cli.core.errors import BundleError, DataError
from ich_cli.core.publish.model_card import hub_card
from ich_cli.core.publish.scrub import scrub_values

METRICS: Final = "metrics.json"
TEMPLATE: Final = "model_card.md"
FIGURES: Final = tuple(
    f"figures/{name}.png"
    for name in (
        "calibration", "reliability", "roc", "precision_recall", "confusion", "curves", "training",
    )
)  # fmt: skip
"""Figures to publish if the run has them. Contact sheets show patients and are never published."""

_PUBLISHED: Final = re.compile(
    rf"{re.escape(CONFIG)}|{re.escape(WEIGHTS)}|{re.escape(SEQUENCE)}|{CARD}|{METRICS}|figures/[\w-]+\.png|"
    rf"\d+/({re.escape(CONFIG)}|{re.escape(WEIGHTS)}|{CARD})"
)


@dataclass(frozen=True)
class Upload:
    """File to upload: its path in the repository and its content."""

    path: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Return the checksum by which the Hub identifies large files."""
        return self._digest(hashlib.sha256())

    @cached_property
    def git_sha1(self) -> str:
        """Return the checksum by which git, and so the Hub, identifies small files."""
        return self._digest(hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False))

    def _digest(self, digest: Any) -> str:
        if isinstance(self.content, bytes):
            digest.update(self.content)
        else:
            with self.content.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        return str(digest.hexdigest())


@dataclass(frozen=True)
class Publication:
    """Bundle prepared for the Hub."""

    repo: str
    config: BundleConfig
    card: str
    files: tuple[Upload, ...]
    notes: tuple[str, ...] = ()
    """Remarks for the publisher."""


def is_published_path(path: str) -> bool:
    """Return whether a path in a repository is one that `ich push` writes, and may replace."""
    return bool(_PUBLISHED.fullmatch(path))


def collect_files(source: Path, repo: str, *, license: str = "apache-2.0") -> Publication:
    """Check the folder of a run or bundle and return its public files.

    Parameters
    ----------
    source
        Folder of a run (with a subfolder ``bundle``) or of a bundle.
    repo
        ``owner/name`` on the Hub, for the model card.
    license
        Licence of the weights, as a Hub identifier.

    Raises
    ------
    BundleError
        If there is no bundle, or it does not load.
    DataError
        If ``metrics.json`` is not JSON.
    """
    from ich_cli.core.bundle import load_bundle

    bundle, run = _locate(source)
    config = read_config(bundle)
    if not any(map(is_pinned, config.members)):
        load_bundle(bundle)  # fails if it does not load
    text, public = _public_config(bundle)
    report = _report(run)
    pictures = [p for p in FIGURES if (run / p).is_file() and not (run / p).is_symlink()]
    card = hub_card(
        public, repo, _template(bundle, run), license=license, report=report, pictures=pictures
    )
    files = [Upload(CONFIG, text), Upload(CARD, card.encode())]
    files += [Upload(WEIGHTS, bundle / WEIGHTS)] if not config.members else _members(bundle, config)
    if config.sequence is not None:
        files.append(Upload(SEQUENCE, bundle / SEQUENCE))
    if report:
        files.append(Upload(METRICS, config_text(report).encode()))
    files += [Upload(path, run / path) for path in pictures]
    return Publication(
        repo, public, card, tuple(sorted(files, key=lambda one: one.path)),
        tuple(_notes(bundle, config)),
    )  # fmt: skip


def _locate(source: Path) -> tuple[Path, Path]:
    """Return the folders of the bundle and of its run, which may be the same."""
    if (source / CONFIG).is_file():
        whole = source.parent if source.resolve().name == "bundle" else source
        return source, whole if (whole / "run.json").is_file() else source
    if (source / "bundle" / CONFIG).is_file():
        return source / "bundle", source
    hint = "; finish it with `ich train … --refit`, or name a fold's bundle" if (
        source / "run.json"
    ).is_file() else ""  # fmt: skip
    raise BundleError(f"{source}: neither a bundle nor a run with a subfolder bundle{hint}")


def _public_config(folder: Path) -> tuple[bytes, BundleConfig]:
    values = scrub_values(read_config_values(folder))
    return config_text(values).encode(), BundleConfig.from_json(values)


def _report(run: Path) -> Mapping[str, Any]:
    path = run / METRICS
    if not path.is_file():
        return {}
    try:
        report = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(report, dict):
        raise DataError(f"{path}: not an object")
    return {key: scrub_values(value, key) for key, value in report.items()}


def _template(bundle: Path, run: Path) -> str:
    own = next((one / TEMPLATE for one in (bundle, run) if (one / TEMPLATE).is_file()), None)
    path = own or shipped_path(TEMPLATE)
    if path is None:
        raise BundleError(f"no {TEMPLATE} is installed; put one into {run}")
    return path.read_text("utf-8")


def _members(bundle: Path, config: BundleConfig) -> Iterator[Upload]:
    for member in config.members:
        if is_pinned(member):
            continue
        text, own = _public_config(bundle / member)
        yield Upload(f"{member}/{CONFIG}", text)
        yield Upload(f"{member}/{WEIGHTS}", bundle / member / WEIGHTS)
        yield Upload(f"{member}/{CARD}", minimal_card(own).encode())


def _notes(bundle: Path, config: BundleConfig) -> Iterator[str]:
    card = bundle / CARD
    if card.is_file() and card.read_text("utf-8", "replace") != minimal_card(config):
        yield (
            f"{card} is not published: the card is rendered from {TEMPLATE}; to change it, edit "
            f"a copy of {TEMPLATE} in the same folder"
        )
