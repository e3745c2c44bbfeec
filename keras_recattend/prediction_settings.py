"""What predictions depend on, and whether two calls agree in it."""

import hashlib
import json
from pathlib import Path

from keras_recattend.versions import installed_versions

__all__ = ["differences", "digest_of", "settings_of"]

# Raised whenever the same weights and settings give other results than before.
RESULTS_VERSION = 2
# Settings that are kept for the reader alone.
TOLD = ("weights", "versions")


def settings_of(config, weights_file, weights, overlay_size):
    """Return all that results depend on, for `PredictionFolder.prepare`, JSON values.

    How the weights were called and the versions may differ: the weights' digest and
    `RESULTS_VERSION` count.

    Args:
        config: a `Config`. weights_file: the file that was loaded.
        weights: what the user calls them. overlay_size: in pixels.
    """
    network = config.to_dict()
    inference = network.pop("inference")
    # How it was trained shows in the weights alone.
    del network["stages"]
    del network["box_network"]["recompute"]
    return {
        "results_version": RESULTS_VERSION,
        "weights": str(weights),
        "weights_sha256": hashlib.sha256(Path(weights_file).read_bytes()).hexdigest(),
        "config_sha256": hashlib.sha256(json.dumps(network).encode()).hexdigest(),
        "inference": inference,
        "overlay_size": overlay_size,
        "versions": installed_versions(),
    }


def digest_of(settings):
    """Return one text for all that counts: results with the same go together."""
    counted = {k: v for k, v in settings.items() if k not in TOLD}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def differences(old, new):
    """Return `name was old, now new` for each setting that counts and differs."""
    missing = object()
    lines = []
    for key in {**old, **new}:
        before, now = old.get(key, missing), new.get(key, missing)
        if key in TOLD or before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            lines += [f"{key} {line}" for line in differences(before, now)]
        elif key == "results_version":
            lines.append("another version of this program")
        elif key.endswith("sha256"):
            lines.append(f"another {key.removesuffix('_sha256')} file")
        else:
            lines.append(
                f"{key} was {'unset' if before is missing else before}, "
                f"now {'unset' if now is missing else now}"
            )
    return lines
