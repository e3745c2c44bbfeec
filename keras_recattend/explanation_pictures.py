"""Figure 1 of the paper for one picture: a row of panels for each step, or a frame."""

import io

import cv2
import numpy as np
from PIL import Image

from keras_recattend.lettering import INK, text_width, write_text
from keras_recattend.map_pictures import direction_wheel, map_panels
from keras_recattend.panels import GAP, TEXT, caption, centred, indented, margined
from keras_recattend.visualize import PAPER, colour_of, overlay

__all__ = ["animation", "encoded_gif", "figure"]

# Pixels.
FIGURE_PANEL = 192  # longer side of a panel of the figure
FRAME_PANEL = 232  # of a frame of the animation
LEAST_SIDE = 24  # of a panel of a very long picture
MARGIN = 20  # left of a column of steps
LABEL = 120  # width of what is said about a step
BAR = 8  # height of a score's bar

MOST_ROWS = 8  # more steps come in two columns
FRAME_SECONDS, LAST_SECONDS = 0.9, 3.0
COLOURS = 128  # of an animation

FAINT = (140, 140, 140)  # what is not in the result
TRACK = (225, 225, 225)  # behind a bar
DIM = 0.4  # brightness of what a panel is not about
INSIDE = 0.5  # a pixel above it is the segment's


def figure(explanation, panel=FIGURE_PANEL):
    """Return all steps as one picture, uint8 [h, w, 3].

    Args:
        explanation: an `Explanation`.
        panel: longer side of a panel, in pixels.
    """
    # Once for all steps: the picture may be a large one.
    view = _view(explanation, panel)
    rows = [_row(explanation, step, view) for step in range(len(explanation.scores))]
    names = _panel_names(explanation)
    heading = _heading(names, rows[0].shape[1])
    columns = [rows]
    if len(rows) > MOST_ROWS:
        half = -(-len(rows) // 2)
        columns = [rows[:half], rows[half:]]
        blank = np.full_like(rows[0], PAPER[0])
        columns[1] += [blank] * (half - len(columns[1]))
    body = np.hstack(
        [indented(np.vstack([heading, *column]), MARGIN) for column in columns]
    )
    parts = [_title(explanation, body.shape[1])]
    if explanation.foreground is not None:
        parts.append(_maps(explanation, view, body.shape[1]))
    return np.vstack([*parts, body])


def animation(explanation):
    """Return one frame a step, uint8 [h, w, 3], all of one size.

    Args:
        explanation: an `Explanation`.
    """
    view = _view(explanation, FRAME_PANEL)
    return [_frame(explanation, step, view) for step in range(len(explanation.scores))]


def encoded_gif(frames):
    """Return the bytes of an animated GIF that repeats for ever.

    Args:
        frames: uint8 [h, w, 3] each, of one size.
    """
    # One palette for all frames, since changing colours would flicker.
    sample = np.vstack([frame[::4, ::4] for frame in frames])
    palette = Image.fromarray(sample).quantize(COLOURS)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    seconds = [FRAME_SECONDS] * (len(frames) - 1) + [LAST_SECONDS]
    data = io.BytesIO()
    pictures[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[round(1000 * s) for s in seconds],
        loop=0,
    )
    return data.getvalue()


# -- the panels ------------------------------------------------------------------------


def _panel_names(explanation):
    names = ["attention", "heat map", "box", "segment", "all so far"]
    if explanation.heat is None:
        names.remove("heat map")
    return names


def _panels(explanation, step, view):
    """Return {name: picture} of one step, all of the size of the `_view`."""
    size = view.shape[:2]
    masks = [cv2.resize(mask, size[::-1]) for mask in explanation.masks[: step + 1]]
    glimpses = explanation.attention[step]
    if explanation.heat is not None:
        glimpses = glimpses[:-1]
    attention = glimpses.mean(axis=0)
    panels = {"attention": _glow(view, attention / max(attention.max(), 1e-12))}
    if explanation.heat is not None:
        panels["attention"] = _marked(panels["attention"], explanation.attention[step])
        panels["heat map"] = _glow(view, explanation.heat[step])
    panels["box"] = _box_panel(explanation, view, masks, step)
    panels["segment"] = _segment_panel(explanation, step, size)
    panels["all so far"] = _objects_panel(explanation, view, masks)
    return panels


def _view(explanation, longest):
    """What the network saw, at the size of a panel."""
    window = explanation.window
    scale = longest / max(window.height, window.width)
    size = (
        max(LEAST_SIDE, round(window.height * scale)),
        max(LEAST_SIDE, round(window.width * scale)),
    )
    low = np.array([window.top, window.left])
    return _cropped(explanation.image, low, low + (window.height, window.width), size)


def _cropped(values, low, high, size):
    """Return values [H, W, ...] from edge `low` to edge `high`, as (h, w) = `size`.

    Args:
        values: uint8 [H, W, 3], or float32 [H, W].
        low, high: (y, x) in pixels, (0, 0) being the outer edge of the first pixel;
            what lies outside is black.
    """
    picture = np.zeros((*size, *values.shape[2:]), values.dtype)
    start, stop = np.maximum(low, 0), np.minimum(high, values.shape[:2])
    if (stop <= start).any():
        return picture
    scale = np.array(size) / (high - low)
    top, left = np.rint((start - low) * scale).astype(int)
    bottom, right = np.rint((stop - low) * scale).astype(int)
    inner = max(bottom - top, 1), max(right - left, 1)
    first, last = np.floor(start).astype(int), np.ceil(stop).astype(int)
    part = np.ascontiguousarray(values[first[0] : last[0], first[1] : last[1]])
    (y0, x0), (y1, x1) = start - first, stop - first
    shown = Image.fromarray(part).resize(
        inner[::-1], Image.Resampling.BICUBIC, box=(x0, y0, x1, y1)
    )
    place = picture[top : top + inner[0], left : left + inner[1]]
    place[:] = np.asarray(shown)[: place.shape[0], : place.shape[1]]
    return picture


def _grey(picture):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _glow(view, values):
    """Lay values [h', w'] in [0, 1] over the darkened picture, black to yellow."""
    values = cv2.resize(np.float32(values), view.shape[1::-1])
    values = np.clip(values, 0.0, 1.0)
    colours = cv2.applyColorMap(np.uint8(255 * values), cv2.COLORMAP_INFERNO)
    # A faint value must still be seen.
    alpha = np.sqrt(values)[..., np.newaxis]
    mixed = alpha * colours[..., ::-1] + (1.0 - alpha) * DIM * _grey(view)
    return np.uint8(np.rint(mixed))


def _marked(picture, reads):
    """Ring the cell that the last read attends to most."""
    place = np.unravel_index(reads[-1].argmax(), reads[-1].shape)
    scale = np.array(picture.shape[:2]) / reads[-1].shape
    y, x = np.rint((np.array(place) + 0.5) * scale - 0.5).astype(int).tolist()
    picture = np.ascontiguousarray(picture)
    radius = max(4, round(0.045 * max(picture.shape[:2])))
    cv2.circle(picture, (x, y), radius, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.circle(picture, (x, y), radius, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def _colour(explanation, step):
    number = int(explanation.objects[step])
    return colour_of(number) if number else FAINT


def _box_panel(explanation, view, masks, step):
    """What the patch shows, over the canvas as the step found it."""
    canvas = np.zeros(view.shape[:2], np.float32)
    for mask in masks[:-1]:
        canvas = np.maximum(canvas, mask)
    shade = 1.0 - (1.0 - DIM) * canvas[..., np.newaxis]
    picture = np.uint8(np.rint(view * shade))
    low, high = _edges(explanation, step)
    scale = np.array(view.shape[:2]) / explanation.window.input_size
    corners = np.rint(np.stack([low, high]) * scale).astype(int)
    (top, left), (bottom, right) = corners.tolist()
    for colour, thickness in (((0, 0, 0), 4), (_colour(explanation, step), 2)):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, thickness)
    return picture


def _segment_panel(explanation, step, size):
    """The patch, enlarged, with its segment."""
    low, high = _edges(explanation, step)
    window = explanation.window
    scale = np.array([window.height, window.width]) / window.input_size
    corner = np.array([window.top, window.left])
    # The patch keeps its aspect.
    extent = (high - low) * scale
    shown = np.maximum(
        LEAST_SIDE, np.rint(extent * min(np.array(size) / extent))
    ).astype(int)
    shown = np.minimum(shown, size)
    patch = _cropped(
        explanation.image, low * scale + corner, high * scale + corner, tuple(shown)
    )
    mask = _cropped(explanation.masks[step], low, high, tuple(shown))
    colour = _colour(explanation, step)
    light = np.where((mask > INSIDE)[..., np.newaxis], 1.0, DIM)
    picture = np.uint8(np.rint(patch * light))
    _outline(picture, mask > INSIDE, colour, 2)
    return centred(picture, *size)


def _objects_panel(explanation, view, masks):
    """All segments of the result so far; those that were dropped as outlines."""
    labels = np.zeros(view.shape[:2], np.int64)
    best = np.full(view.shape[:2], INSIDE, np.float32)
    for step, mask in enumerate(masks):
        number = int(explanation.objects[step])
        if number:
            labels = np.where(mask > best, number, labels)
            best = np.maximum(best, mask)
    picture = overlay(view, labels, min_height=None)
    for step, mask in enumerate(masks):
        passed = explanation.scores[step] >= explanation.threshold
        if passed and not explanation.objects[step]:
            _outline(picture, mask > INSIDE, FAINT, 1)
    return picture


def _outline(picture, inside, colour, thickness):
    contours, _ = cv2.findContours(
        np.uint8(inside), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, contours, -1, colour, thickness, cv2.LINE_AA)


def _edges(explanation, step):
    """The outer edges (low, high) of what the patch showed, in the network's pixels.

    A network that has learnt little may ask for a patch of no size, or of a size far
    beyond the image: what is drawn of it is bounded.
    """
    window = explanation.window
    extent = np.array(window.input_size)
    scale = np.array([window.height, window.width]) / extent
    corner = np.array([window.top, window.left])
    box = np.nan_to_num(explanation.boxes[step].reshape(2, 2).astype(np.float64))
    low, high = (box + 0.5 - corner) / scale
    low, high = np.clip(low, -extent, 2 * extent), np.clip(high, -extent, 2 * extent)
    return low, np.maximum(high, low + 1.0)


# -- how they are put together ---------------------------------------------------------


def _maps(explanation, view, width):
    """What the pre-processing network said, before the first step."""
    panels = {"image": view} | map_panels(
        explanation.foreground, explanation.angles, view.shape[:2]
    )
    height = max(view.shape[0], 8 * TEXT)
    label = np.full((height, LABEL, 3), PAPER[0], np.uint8)
    if explanation.angles.shape[-1]:
        label = centred(direction_wheel(5 * TEXT), height, LABEL)
    row = _beside(label, panels)
    heading = _heading(panels, row.shape[1])
    picture = indented(np.vstack([heading, row]), MARGIN)
    blank = np.full((picture.shape[0], width - picture.shape[1], 3), PAPER[0], np.uint8)
    return np.hstack([picture, blank])


def _row(explanation, step, view):
    panels = _panels(explanation, step, view)
    height = panels["box"].shape[0]
    label = np.full((max(height, 8 * TEXT), LABEL, 3), PAPER[0], np.uint8)
    _write_step(label, explanation, step)
    return _beside(label, panels)


def _beside(label, panels):
    """The panels in a row on the right of what is said about them."""
    cells = [label] + [centred(p, label.shape[0]) for p in panels.values()]
    return np.hstack([margined(cell) for cell in cells])


def _write_step(label, explanation, step):
    """Number, score and fate of a step."""
    write_text(label, f"step {step + 1}", (0, 2 * TEXT), 1.2 * TEXT)
    bar = label[round(2.8 * TEXT) :][:BAR]
    bar[:] = TRACK
    score = float(explanation.scores[step])
    bar[:, : round(score * LABEL)] = _colour(explanation, step)
    bar[:, round(explanation.threshold * (LABEL - 1))] = INK
    write_text(label, f"score {score:.2f}", (0, round(5.2 * TEXT)), 0.9 * TEXT)
    write_text(label, _fate(explanation, step), (0, round(6.9 * TEXT)), 0.9 * TEXT)


def _fate(explanation, step):
    if explanation.objects[step]:
        return f"object {explanation.objects[step]}"
    low = explanation.scores[step] < explanation.threshold
    return "stop" if low else "dropped"


def _heading(names, width):
    picture = np.full((round(2.4 * TEXT), width, 3), PAPER[0], np.uint8)
    panel = (width - LABEL - GAP) // len(names)
    for place, name in enumerate(names):
        x = LABEL + GAP + place * panel
        write_text(picture, name, (x, round(1.7 * TEXT)), TEXT)
    return picture


def _title(explanation, width):
    picture = np.full((round(3.2 * TEXT), width, 3), PAPER[0], np.uint8)
    text = f"{_plural(explanation.count, 'object')}, "
    text += f"{_plural(len(explanation.scores), 'step')}"
    if explanation.enlarged > 1.0:
        text += f"; second look, {explanation.enlarged:.2f} times closer"
    size = 1.3 * TEXT
    if MARGIN + text_width(text, size) < width:
        write_text(picture, text, (MARGIN, round(2.2 * TEXT)), size)
    return picture


def _frame(explanation, step, view):
    panels = _panels(explanation, step, view)
    if explanation.heat is None:
        panels = {"image": view} | panels
    width = max(panels["box"].shape[1], LABEL)
    height = max(panels["box"].shape[0], LABEL)
    panels[f"score, step {step + 1}"] = _scores_panel(explanation, step, height, width)
    cells = [
        np.vstack([caption(name, width), centred(panel, height, width)])
        for name, panel in panels.items()
    ]
    cells = [margined(cell) for cell in cells]
    rows = np.vstack([np.hstack(cells[:3]), np.hstack(cells[3:])])
    return indented(rows, GAP)


def _scores_panel(explanation, step, height, width):
    """A bar for every step so far, and the threshold."""
    picture = np.full((height, width, 3), PAPER[0], np.uint8)
    base = height - 1
    top = round(2.2 * TEXT)
    count = len(explanation.scores)
    pitch = width / count
    for number in range(count):
        left, right = round(number * pitch), round((number + 1) * pitch) - 1
        right = max(right, left + 1)
        picture[top:base, left:right] = TRACK
        if number <= step:
            bar = round((base - top) * float(explanation.scores[number]))
            picture[base - bar : base, left:right] = _colour(explanation, number)
    line = base - round((base - top) * explanation.threshold)
    picture[line] = INK
    text = f"{explanation.scores[step]:.2f}  {_fate(explanation, step)}"
    write_text(picture, text, (0, round(1.3 * TEXT)), TEXT)
    return picture


def _plural(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"
