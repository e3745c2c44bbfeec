"""Figure 1 of the paper for one picture: a row of panels for each step, or a frame."""

import io

import numpy as np
from PIL import Image

from keras_recattend.explanation_panels import (
    panel_names,
    step_colour,
    step_panels,
    view_of,
)
from keras_recattend.lettering import INK, text_width, write_text
from keras_recattend.map_pictures import direction_wheel, map_panels
from keras_recattend.panels import GAP, TEXT, caption, centred, indented, margined
from keras_recattend.visualize import PAPER

__all__ = ["animation", "encoded_gif", "figure"]

# Pixels.
FIGURE_PANEL = 192  # longer side of a panel of the figure
FRAME_PANEL = 232  # of a frame of the animation
MARGIN = 20  # left of a column of steps
LABEL = 120  # width of what is said about a step
BAR = 8  # height of a score's bar

MOST_ROWS = 8  # more steps come in two columns
FRAME_SECONDS, LAST_SECONDS = 0.9, 3.0
COLOURS = 128  # of an animation

TRACK = (225, 225, 225)  # behind a bar


def figure(explanation, panel=FIGURE_PANEL):
    """Return all steps as one picture, uint8 [h, w, 3].

    Args:
        explanation: an `Explanation`.
        panel: longer side of a panel, in pixels.
    """
    # Once for all steps: the picture may be a large one.
    view = view_of(explanation, panel)
    rows = [_row(explanation, step, view) for step in range(len(explanation.scores))]
    names = panel_names(explanation)
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
    view = view_of(explanation, FRAME_PANEL)
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
    panels = step_panels(explanation, step, view)
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
    bar[:, : round(score * LABEL)] = step_colour(explanation, step)
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
    panels = step_panels(explanation, step, view)
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
            picture[base - bar : base, left:right] = step_colour(explanation, number)
    line = base - round((base - top) * explanation.threshold)
    picture[line] = INK
    text = f"{explanation.scores[step]:.2f}  {_fate(explanation, step)}"
    write_text(picture, text, (0, round(1.3 * TEXT)), TEXT)
    return picture


def _plural(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"
