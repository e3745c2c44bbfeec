"""The steps behind a result: what they say of it, and the pictures of them."""

import dataclasses
import io

import cv2
import keras
import numpy as np
import pytest
import tiny
import tiny_models
from PIL import Image, ImageSequence

from keras_recattend import explanation_pictures
from keras_recattend.api import Segmenter
from keras_recattend.explanation import Explanation, explain
from keras_recattend.explanation_pictures import encoded_gif
from keras_recattend.model import RecurrentAttention
from keras_recattend.postprocess import Found, Window
from keras_recattend.prediction import Predictor, network_input
from keras_recattend.visualize import colour_of


def predictor_of(config, score=5.0, mask=3.0):
    """A network that finds something at every step, untrained as it is."""
    keras.utils.set_random_seed(0)
    model = RecurrentAttention(config)
    model.scoring.bias.assign([score])
    if config.segmentation.output == "logits":
        weights = model.segmentation.weights
        (last,) = (v for v in weights if v.path.endswith("transposed2/bias"))
        last.assign([mask])
    return Predictor(model)


@pytest.fixture(scope="module")
def predictor():
    return predictor_of(tiny.config(inference={"zoom": 2.0, "least_kept": 0.0}))


@pytest.fixture(scope="module")
def image():
    return tiny.examples()[1].image  # 40 x 48


@pytest.fixture(scope="module")
def explained(predictor, image):
    (explanation,) = explain(predictor, [image])
    return explanation


# -- the arrays ------------------------------------------------------------------------


def test_it_is_the_result_of_a_prediction(predictor, image, explained):
    (found,) = predictor([image])
    assert explained.count == found.count > 0
    assert (explained.labels != found.labels).mean() < 0.01
    np.testing.assert_allclose(explained.found.scores, found.scores, atol=1e-4)
    np.testing.assert_array_equal(explained.image, image)


def test_objects_that_no_step_of_this_view_has(
    predictor, image, explained, monkeypatch
):
    """As where only other views have the first of them."""
    (look,) = predictor.watch([image])
    steps = look.found.steps.copy()
    assert len(steps) > 1
    steps[0] = -1
    look = look._replace(found=look.found._replace(steps=steps))
    monkeypatch.setattr(predictor, "watch", lambda images: [look])
    (explanation,) = explain(predictor, [image])
    others = np.where(explained.objects == 1, 0, explained.objects)
    np.testing.assert_array_equal(explanation.objects, others)


def test_shapes(explained):
    steps = len(explained.scores)
    assert explained.attention.shape == (steps, 3, 4, 4)
    np.testing.assert_allclose(explained.attention.sum(axis=(2, 3)), 1.0, atol=1e-5)
    assert explained.heat.shape == (steps, 4, 4)
    assert ((explained.heat >= 0) & (explained.heat <= 1)).all()
    assert explained.masks.shape == (steps, 32, 32)
    assert explained.boxes.shape == (steps, 4)
    assert "objects in 48 x 40 pixels" in repr(explained)


def test_objects_are_those_of_the_label_map(explained):
    numbers = explained.objects[explained.objects > 0]
    assert numbers.tolist() == np.unique(explained.labels)[1:].tolist()
    for number in numbers:
        (step,) = np.flatnonzero(explained.objects == number)
        assert explained.scores[step] == explained.found.scores[number - 1]
        # Each object lies within what its step's patch showed.
        y0, x0, y1, x1 = explained.boxes[step]
        rows, columns = np.nonzero(explained.labels == number)
        assert y0 <= rows.min() <= rows.max() <= y1
        assert x0 <= columns.min() <= columns.max() <= x1


def test_masks_lie_over_the_window(explained):
    """Scaled from the window to the image, they are the label map."""
    window = explained.window
    union = explained.masks[explained.objects > 0].max(axis=0) > 0.5
    # The label map is drawn at the image's size, where edges lie between these pixels.
    around = cv2.dilate(union.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    within = cv2.erode((explained.labels > 0).astype(np.uint8), np.ones((3, 3)))
    y, x = np.nonzero(explained.labels)
    scale = np.array([window.height, window.width]) / window.input_size
    rows = np.floor((y + 0.5 - window.top) / scale[0]).astype(int)
    columns = np.floor((x + 0.5 - window.left) / scale[1]).astype(int)
    inside = (rows >= 0) & (rows < 32) & (columns >= 0) & (columns < 32)
    assert inside.mean() > 0.9
    assert around[rows[inside], columns[inside]].mean() > 0.98
    core = inside & (within[y, x] > 0)
    assert core.any()
    assert union[rows[core], columns[core]].mean() > 0.9
    # Mirrored they would not.
    assert around[rows[inside], 31 - columns[inside]].mean() < 0.8


def test_the_closer_look_is_the_one_that_is_explained(monkeypatch, predictor, image):
    import keras_recattend.prediction as prediction

    closer = Window(5.0, 6.0, 20.0, 24.0, (32, 32))
    monkeypatch.setattr(prediction, "_window_around", lambda *_: closer)
    (explanation,) = explain(predictor, [image])
    assert explanation.window == closer
    assert explanation.enlarged == 2.0
    (found,) = predictor([image])
    assert (explanation.labels != found.labels).mean() < 0.01
    monkeypatch.setattr(prediction, "_window_around", lambda *_: None)
    (explanation,) = explain(predictor, [image])
    assert explanation.window == Window.whole(image.shape, (32, 32))
    assert explanation.enlarged == 1.0


def test_the_step_that_stops_is_the_last(image):
    """Its score is told, which a prediction leaves out."""
    predictor = predictor_of(tiny.config(), score=-5.0)
    (explanation,) = explain(predictor, [image])
    assert explanation.count == 0
    assert len(explanation.scores) == 1
    assert 0.0 < explanation.scores[0] < 0.5
    assert explanation.objects.tolist() == [0]


def test_all_steps_where_nothing_stops(image):
    predictor = predictor_of(tiny.config())
    (explanation,) = explain(predictor, [image])
    assert len(explanation.scores) == tiny.SLOTS + 1


def test_the_papers_model_has_no_heat_map(image):
    config = tiny_models.paper_config(inference={"stop": False})
    predictor = Predictor(tiny_models.build(config))
    (explanation,) = explain(predictor, [image])
    assert explanation.heat is explanation.foreground is explanation.angles is None
    assert explanation.attention.shape == (4, 2, 4, 5)
    assert explanation.plot().dtype == np.uint8
    assert len(explanation.animate()) == 4


@pytest.mark.parametrize("angles", [8, 0])
def test_the_maps_of_a_pre_processing_network(image, angles):
    config = tiny.preprocessed()
    if not angles:
        config = config.without_angles()
    predictor = predictor_of(config)
    (explanation,) = explain(predictor, [image])
    seen = network_input(image, explanation.window)
    maps = predictor.model.maps(seen[np.newaxis])
    np.testing.assert_allclose(explanation.foreground, maps.foreground[0], atol=1e-5)
    np.testing.assert_allclose(explanation.angles, maps.angles[0], atol=1e-5)
    assert explanation.angles.shape == (32, 32, angles)
    without = dataclasses.replace(explanation, foreground=None, angles=None)
    more = explanation.plot().shape[0] - without.plot().shape[0]
    assert 160 < more < 220  # one row of panels of 192 x 160
    assert explanation.plot().shape[1] == without.plot().shape[1]


# -- the pictures ----------------------------------------------------------------------


def drawn(objects=(1, 2, 0), scores=(0.9, 0.8, 0.1), heat=True, shape=(60, 80)):
    """Rectangles one beside the other, in an image twice as large as the input."""
    steps = len(scores)
    size = (shape[0] // 2, shape[1] // 2)
    masks = np.zeros((steps, *size), np.float32)
    boxes = np.zeros((steps, 4), np.float32)
    labels = np.zeros(shape, np.uint16)
    pitch = size[1] // steps
    for step in range(steps):
        left = step * pitch
        masks[step, 4 : size[0] - 4, left + 1 : left + pitch - 1] = 1.0
        boxes[step] = 4, 2 * left, shape[0] - 5, 2 * (left + pitch) - 1
        if objects[step]:
            place = np.s_[8 : shape[0] - 8, 2 * left + 2 : 2 * (left + pitch) - 2]
            labels[place] = objects[step]
    attention = np.zeros((steps, 3, 3, 4), np.float32)
    attention[:, :, 1, 1] = 1.0
    image = np.full((*shape, 3), 90, np.uint8)
    kept = np.flatnonzero(objects)
    found = Found(labels, np.float32(scores)[kept], boxes[kept], steps=kept)
    return Explanation(
        image,
        found,
        Window.whole(shape, size),
        attention,
        attention[:, 0] if heat else None,
        boxes,
        masks,
        np.float32(scores),
        0.5,
        np.array(objects),
    )


def has_colour(picture, colour):
    return (picture == np.uint8(colour)).all(axis=-1).any()


def test_a_row_a_step():
    """Each has its object's colour; the heat map is a panel more."""
    one = drawn((1,), (0.9,)).plot()
    three = drawn().plot()
    assert three.dtype == np.uint8
    assert three.shape[1] == one.shape[1]
    row = three.shape[0] - one.shape[0]
    assert row % 2 == 0
    assert row >= 2 * 144  # two more panels of 192 x 144
    first, second = three[:-row], three[-row : -row // 2]
    assert has_colour(first, colour_of(1))
    assert has_colour(second, colour_of(2))
    assert not has_colour(first, colour_of(2))
    assert drawn(heat=False).plot().shape[1] < three.shape[1]


def test_twenty_steps_come_in_two_columns():
    few = drawn(range(1, 9), [0.9] * 8, shape=(60, 160)).plot()
    many = drawn(range(1, 22), [0.9] * 21, shape=(60, 160)).plot()
    assert many.shape[1] == 2 * few.shape[1]
    assert many.shape[0] / few.shape[0] == pytest.approx(11 / 8, rel=0.05)


def test_frames_show_what_was_found_so_far():
    explanation = drawn()
    frames = explanation.animate()
    assert len(frames) == 3
    assert len({frame.shape for frame in frames}) == 1
    assert not has_colour(frames[0], colour_of(2))
    assert has_colour(frames[1], colour_of(2))
    assert has_colour(frames[2], colour_of(1))


def test_a_segment_that_is_not_in_the_result_is_grey():
    picture = drawn((1, 0, 0), (0.9, 0.8, 0.1)).plot()
    assert not has_colour(picture, colour_of(2))
    assert has_colour(picture, (140, 140, 140))


@pytest.mark.parametrize("shape", [(4, 400), (400, 4), (2, 2), (600, 800)])
def test_any_shape_of_picture(shape, predictor):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    (explanation,) = explain(predictor, [image])
    assert min(explanation.plot().shape[:2]) > 100
    assert min(explanation.animate()[0].shape[:2]) > 100


def test_boxes_of_a_network_that_has_learnt_nothing():
    explanation = drawn()
    explanation.boxes[:] = [
        [np.nan] * 4,
        [-1e30, -1e30, 1e30, 1e30],
        [np.inf, 5.0, -np.inf, 5.0],
    ]
    assert explanation.plot().shape == drawn().plot().shape


def test_files(tmp_path):
    explanation = drawn()
    picture = explanation.plot(tmp_path / "new" / "steps.png")
    with Image.open(tmp_path / "new" / "steps.png") as file:
        np.testing.assert_array_equal(np.array(file), picture)
    frames = explanation.animate(tmp_path / "steps.gif")
    with Image.open(tmp_path / "steps.gif") as file:
        assert file.n_frames == 3
        assert file.info["loop"] == 0
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(file)]
        assert durations == [900, 900, 3000]
        file.seek(1)
        shown = np.array(file.convert("RGB")).astype(int)
    assert shown.shape == frames[1].shape
    assert np.abs(shown - frames[1]).mean() < 4
    with pytest.raises(ValueError, match="PNG"):
        explanation.plot(tmp_path / "steps.gif")
    with pytest.raises(ValueError, match="GIF"):
        explanation.animate(tmp_path / "steps.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "steps.gif"]


def test_equal_frames_stay_frames():
    frames = [np.full((8, 8, 3), 200, np.uint8)] * 3
    with Image.open(io.BytesIO(encoded_gif(frames))) as file:
        total = sum(f.info["duration"] for f in ImageSequence.Iterator(file))
    assert total == 2 * 900 + 3000


# -- the Python API --------------------------------------------------------------------


def test_one_gives_one_and_a_list_gives_a_list(predictor, image, tmp_path):
    segmenter = Segmenter(predictor.model, None, predictor)
    Image.fromarray(image).save(tmp_path / "a.png")
    one = segmenter.explain(image)
    assert isinstance(one, Explanation)
    both = segmenter.explain([image, tmp_path / "a.png"])
    for other in both:
        np.testing.assert_array_equal(other.labels, one.labels)
    assert segmenter.explain([]) == []


def test_the_picture_is_reduced_once_for_all_steps(explained, monkeypatch):
    """A large one takes half a second each time."""
    views, view = [], explanation_pictures.view_of

    def counted(explanation, longest):
        views.append(longest)
        return view(explanation, longest)

    monkeypatch.setattr(explanation_pictures, "view_of", counted)
    assert len(explained.scores) > 1
    explanation_pictures.figure(explained)
    explanation_pictures.animation(explained)
    assert len(views) == 2
