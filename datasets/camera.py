"""A cheap camera for rendered scenes: exposure, colour, blur, noise, JPEG."""

import cv2
import numpy as np

from datasets.soil import smooth_noise


def photograph(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Take a picture of a scene as a mid-range camera would.

    Args:
        rng: source of randomness.
        scene: [3, H, W] float32 RGB, about [0, 1]; overwritten.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    height, width = scene.shape[1:]
    unit = min(height, width)
    slope_y, slope_x = rng.normal(0.0, 0.08, 2)
    rows = slope_y * np.linspace(-0.5, 0.5, height)
    columns = slope_x * np.linspace(-0.5, 0.5, width)
    lamp = (1.0 + rows[:, None] + columns).astype(np.float32)
    gains = rng.normal(1.0, 0.03, 3) * np.exp(rng.normal(0.0, 0.08))
    saturation = np.float32(rng.normal(0.0, 0.07))
    lift = rng.uniform(0.0, 0.03)
    sharpen = max(0.0, rng.uniform(-0.5, 0.9))
    blur = unit / 530.0 * rng.uniform(0.5, 1.4)
    noise = rng.uniform(0.004, 0.018)
    for plane, gain in zip(scene, gains, strict=True):
        plane *= lamp * np.float32(gain)
    scene += saturation * (scene - scene.mean(axis=0))
    # Demosaicing leaves luma noise fine and colour noise a little coarser.
    luma = np.float32(noise) * smooth_noise(rng, (height, width), unit / 500.0)
    for plane, amount in zip(scene, (1.0, 0.3, 1.3), strict=True):
        if blur > 0.25:
            plane[:] = cv2.GaussianBlur(plane, (0, 0), blur)
        if sharpen > 0.0:
            soft = cv2.GaussianBlur(plane, (0, 0), max(0.6, unit / 400.0))
            plane += np.float32(sharpen) * (plane - soft)
        chroma = smooth_noise(rng, (height, width), max(1.2, unit / 256.0))
        plane += luma + np.float32(noise * amount) * chroma
    # One curve for black level, gamma and clipping, applied as a table.
    steps = np.linspace(0.0, 1.0, 1024)
    curve = (steps * (1.0 - lift) + lift) ** np.exp(rng.normal(0.0, 0.07))
    table = np.round(curve * 255.0).astype(np.uint8)
    index = np.clip(scene * 1023.0, 0.0, 1023.0).astype(np.int16)
    pixels = np.ascontiguousarray(table[index].transpose(1, 2, 0))
    if rng.uniform() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 98))]
        packed = cv2.imencode(".jpg", pixels[..., ::-1], quality)[1]
        pixels = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(pixels)
