"""Frameworks, images and datasets as rows of plain values: `list`, `images ls` and `data ls` print them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import HostError
from orchestrator.plan.catalog import Catalog, Image

ListedRow = dict[str, Any]
SHORT = 12  # hex digits of a fingerprint on a screen


def framework_rows(catalog: Catalog) -> list[ListedRow]:
    """One row per framework."""
    built = _built(catalog)
    return [
        {
            "framework": framework.id,
            "title": framework.title,
            "version": framework.version,
            "workloads": list(framework.workloads),
            "image": image.name,
            "python": image.python or "none",
            "variants": list(image.locks),
            "built": built.get(image.name),
        }
        for framework, image in catalog.frameworks.values()
    ]


def image_rows(chosen: Sequence[Image]) -> list[ListedRow]:
    """One row per image and variant; `built` is None when no Docker daemon answers."""
    from orchestrator.engines.docker import images

    try:
        listed = images.listing(chosen)
    except HostError:
        listed = [(image, variant, images.tag(image, variant), None) for image in chosen for variant in image.locks]
        known = False
    else:
        known = True
    return [
        {
            "image": image.name,
            "variant": variant,
            "frameworks": [framework.id for framework in image.frameworks],
            "tag": tag,
            "size": built.size if built else None,
            "built": built is not None if known else None,
        }
        for image, variant, tag, built in listed
    ]


def dataset_rows(cache: Path) -> list[ListedRow]:
    """One row per prepared dataset."""
    from orchestrator.inputs import data_sources

    return [
        {
            "dataset": prepared.label,
            "source": prepared.source,
            "origin": prepared.origin,
            "fingerprint": prepared.fingerprint,
            "folder": str(prepared.folder),
        }
        for prepared in data_sources.ls(cache)
    ]


def image_shown(row: ListedRow) -> ListedRow:
    """The row of an image for a screen. Its tag has the variant in it, and its size says whether it is built."""
    from rich.filesize import decimal

    size = decimal(row["size"]) if row["size"] is not None else "?" if row["built"] is None else "not built"
    return {name: row[name] for name in ("image", "frameworks", "tag")} | {"size": size}


def shortened(row: ListedRow) -> ListedRow:
    """The row of a dataset for a screen, with the start of its fingerprint and the name of its folder."""
    return {**row, "fingerprint": row["fingerprint"][:SHORT], "folder": Path(row["folder"]).name}


def _built(catalog: Catalog) -> dict[str, list[str] | None]:
    """The built variants of each image; None when no Docker daemon answers."""
    found: dict[str, list[str] | None] = {}
    for row in image_rows(catalog.images):
        if row["built"] is None:
            found[row["image"]] = None
        else:
            variants = found.setdefault(row["image"], [])
            if row["built"] and variants is not None:
                variants.append(row["variant"])
    return found
