"""What is in a .caffemodel or a .binaryproto."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prototxt.errors import ZooError


def caffemodel(path: Path) -> dict[str, Any]:
    """Layers in the file's order, with blobs' shapes and extremes (None without blobs)."""
    import prototxt

    rows: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "type": layer.type,
            "blobs": [list(blob.shape) for blob in layer.blobs],
            "parameters": sum(int(blob.size) for blob in layer.blobs),
            "min": min((float(b.min()) for b in layer.blobs if b.size), default=None),
            "max": max((float(b.max()) for b in layer.blobs if b.size), default=None),
        }
        for layer in prototxt.read_model(path)
    ]
    total = sum(row["parameters"] for row in rows)
    return {"kind": "caffemodel", "layers": rows, "parameters": total, "parameter_bytes": 4 * total}


def binaryproto(path: Path) -> dict[str, Any]:
    """Shape, extremes, and the means of the first 16 channels; ZooError where it is empty."""
    import prototxt

    blob = prototxt.read_binaryproto(path)
    if not blob.size:
        raise ZooError("the blob is empty", subject=path)
    planes = blob.reshape(-1, *blob.shape[-2:]) if blob.ndim >= 3 else blob[None]
    data: dict[str, Any] = {
        "kind": "binaryproto",
        "shape": list(blob.shape),
        "min": float(blob.min()),
        "max": float(blob.max()),
        "channel_means": [float(plane.mean()) for plane in planes[:16]],
    }
    return data
