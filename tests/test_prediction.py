"""Images of any size in, label maps of their size out; the closer look."""

import dataclasses
import types

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.config import Inference
from keras_recattend.errors import UserError
from keras_recattend.model import RecurrentAttention
from keras_recattend.prediction import Predictor
from keras_recattend.views import View

SIZE = (48, 64)
STEPS = 3


class Seer:
    """In place of a model: one object, the bright pixels of its input.

    The patch is the whole input; the box its outer edges.
    """

    is_normalized = True
    size = SIZE

    def __init__(self, **inference):
        self.passes = []
        self.config = types.SimpleNamespace(
            image_size=self.size, inference=Inference(**inference)
        )

    def infer(self, image, inference, with_masks):
        assert not with_masks
        tf.py_function(lambda x: self.passes.append(x.numpy()), [image], [])
        batch = tf.shape(image)[0]
        first = tf.one_hot(tf.zeros([batch], tf.int32), STEPS)
        bright = tf.reduce_mean(image, axis=-1)[:, tf.newaxis]
        edges = tf.constant([-0.5, -0.5, self.size[0] - 0.5, self.size[1] - 0.5])
        return {
            "patches": bright * first[:, :, tf.newaxis, tf.newaxis],
            "boxes": edges * first[..., tf.newaxis],
            "scores": 0.9 * first,
        }


def rectangle(shape, top, left, bottom, right):
    """A white rectangle, last row and column included, on black."""
    image = np.zeros((*shape, 3), np.uint8)
    image[top : bottom + 1, left : right + 1] = 255
    return image


def test_label_maps_have_the_images_sizes():
    images = [
        rectangle((48, 64), 10, 10, 30, 40),
        rectangle((100, 50), 20, 10, 70, 40),
        rectangle((31, 97), 5, 20, 25, 80),
    ]
    found = Predictor(Seer(), batch_size=2)(images)
    assert len(found) == 3
    for image, f in zip(images, found, strict=True):
        assert f.labels.shape == image.shape[:2]
        assert f.count == 1
        truth = image[..., 0] > 0
        both = (truth & (f.labels > 0)).sum() / (truth | (f.labels > 0)).sum()
        assert both > 0.9


class SeesTwice(Seer):
    """Finds the bright pixels, then their upper rows with one more above them.

    Args:
        with_masks: give masks, as a model of the authors' kind, in place of patches.
    """

    def __init__(self, with_masks, **inference):
        super().__init__(**inference)
        self.is_normalized = not with_masks

    def infer(self, image, inference, with_masks):
        bright = tf.reduce_mean(image, axis=-1)
        again = 0.8 * tf.roll(bright, -1, axis=1)
        found = tf.stack([bright, again, tf.zeros_like(bright)], axis=1)
        first_two = tf.constant([[1.0, 1.0, 0.0]])
        edges = tf.constant([-0.5, -0.5, SIZE[0] - 0.5, SIZE[1] - 0.5])
        return {
            "masks" if with_masks else "patches": found,
            "boxes": edges * first_two[..., tf.newaxis],
            "scores": first_two,
        }


@pytest.mark.parametrize("with_masks", [False, True], ids=["patches", "masks"])
def test_what_is_left_of_an_object_found_twice(with_masks):
    """The second keeps its one row alone: a twentieth of itself."""
    image = rectangle(SIZE, 10, 10, 29, 40)
    for least_kept, count in ((0.3, 1), (0.0, 2)):
        model = SeesTwice(with_masks, least_kept=least_kept)
        (found,) = Predictor(model)([image])
        assert found.count == count
        assert found.labels[9].any() == (count == 2)


class HardlySure(SeesTwice):
    """Finds the bright pixels with a score of 0.6."""

    def infer(self, image, inference, with_masks):
        found = super().infer(image, inference, with_masks)
        return found | {"scores": 0.6 * tf.constant([[1.0, 0.0, 0.0]])}


def test_masks_are_weighed_by_the_score_where_it_does_not_end_the_steps():
    image = rectangle(SIZE, 10, 10, 29, 40) // 2 + 20
    for stop, count in ((True, 1), (False, 0)):
        (found,) = Predictor(HardlySure(with_masks=True, stop=stop))([image])
        assert found.count == count
        if stop:
            np.testing.assert_allclose(found.scores, [0.6])


def test_no_images():
    assert Predictor(Seer())([]) == []


def test_images_come_in_batches():
    model = Seer()
    images = [rectangle((48, 64), 10, 10, 30, 40)] * 5
    assert len(Predictor(model, batch_size=2)(images)) == 5
    assert [len(batch) for batch in model.passes] == [2, 2, 1]


def test_the_input_is_the_image_in_0_to_1():
    model = Seer()
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Predictor(model)([image])
    np.testing.assert_allclose(model.passes[0][0], image / 255.0, atol=1e-6)


def test_no_zoom_is_one_pass():
    model = Seer(zoom=1.0)
    Predictor(model)([rectangle((480, 640), 200, 300, 220, 330)])
    assert len(model.passes) == 1


def test_nothing_found_is_one_pass():
    model = Seer(zoom=2.0)
    found = Predictor(model)([np.zeros((96, 128, 3), np.uint8)])
    assert len(model.passes) == 1
    assert found[0].count == 0


def test_an_object_that_fills_the_image_is_not_enlarged():
    model = Seer(zoom=2.0)
    Predictor(model)([rectangle((96, 128), 4, 4, 90, 120)])
    assert len(model.passes) == 1


def test_only_the_images_that_need_it_get_a_closer_look():
    model = Seer(zoom=2.0)
    images = [
        rectangle((96, 128), 4, 4, 90, 120),
        rectangle((96, 128), 40, 50, 60, 80),
        np.zeros((96, 128, 3), np.uint8),
    ]
    found = Predictor(model)(images)
    assert [len(batch) for batch in model.passes] == [3, 1]
    assert [f.count for f in found] == [1, 1, 0]


@pytest.mark.parametrize(
    "place",
    [(200, 300, 279, 379), (0, 0, 60, 70), (420, 560, 479, 639), (90, 500, 160, 639)],
    ids=["middle", "top left", "bottom right", "right"],
)
@pytest.mark.parametrize("shape", [(480, 640), (481, 643)])
def test_the_closer_look_returns_to_its_place(shape, place):
    """All edges to two thirds of an input pixel, which is 3.3 pixels of the image."""
    model = Seer(zoom=3.0)
    found = Predictor(model)([rectangle(shape, *place)])[0]
    assert len(model.passes) == 2
    assert found.count == 1
    edges = found.boxes[0] - np.array(place)
    assert np.abs(edges).max() <= 2.0
    # Neither shifted: opposite edges err in opposite directions.
    assert np.abs(edges[:2] + edges[2:]).max() <= 2.0


def test_the_closer_look_enlarges_by_the_zoom_at_most():
    model = Seer(zoom=2.0)
    Predictor(model)([rectangle((480, 640), 230, 310, 249, 329)])
    first, second = ((batch[0, ..., 0] > 0.5).sum() for batch in model.passes)
    # 20 of 480 rows are 2 of 48, and 4 enlarged.
    assert second == pytest.approx(4 * first, rel=0.3)


def test_the_closer_look_at_a_large_picture_sees_no_noise_of_single_pixels():
    """32 pixels go into one of the input: the mean of them, not one of them."""
    image = rectangle((480, 640), 230, 310, 300, 380)
    noise = np.random.default_rng(0).normal(0, 40, image.shape)
    noisy = np.clip(0.8 * image + 100 * (image == 0) + noise, 0, 255).astype(np.uint8)
    model = Seer(zoom=2.0)
    Predictor(model)([noisy])
    inside = model.passes[1][0][model.passes[1][0].mean(axis=-1) > 0.7]
    assert len(inside) > 50
    assert inside.std() < 0.05 < 0.12 < (noisy[231:300, 311:380] / 255).std()


def test_another_inference_than_the_models_own():
    model = Seer(zoom=2.0)
    image = rectangle((480, 640), 230, 310, 249, 329)
    Predictor(model, Inference(zoom=1.0))([image])
    assert len(model.passes) == 1
    assert Predictor(model, Inference(min_area=10**6))([image])[0].count == 0


@pytest.mark.parametrize("make", [tiny.config, tiny.paper_config])
def test_a_model_of_each_kind(make):
    """Untrained: what it finds is noise, but of the right shape, and repeatable."""
    keras.utils.set_random_seed(0)
    model = RecurrentAttention(make())
    model.scoring.bias.assign([5.0])
    images = [example.image for example in tiny.examples(((32, 32), (50, 41)))]
    predictor = Predictor(model)
    found = predictor(images)
    for image, f in zip(images, found, strict=True):
        assert f.labels.shape == image.shape[:2]
        assert f.labels.max() == f.count == len(f.boxes) <= model.config.timespan
    assert sum(f.count for f in found) > 0
    for a, b in zip(found, predictor(images), strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_a_predictor_sees_new_weights():
    """Validation keeps one predictor while the model goes on training."""
    model = RecurrentAttention(tiny.config())
    predictor = Predictor(model)
    images = [tiny.examples()[0].image]
    model.scoring.bias.assign([-50.0])
    assert predictor(images)[0].count == 0
    outputs = predictor._run(tf.zeros([1, *tiny.SIZE, 3]))
    assert not outputs["scores"].numpy().any()
    model.scoring.bias.assign([50.0])
    outputs = predictor._run(tf.zeros([1, *tiny.SIZE, 3]))
    assert (outputs["scores"].numpy() > 0.5).any()


# -- the pre-processing network's maps ---------------------------------------------


class Foreseer(Seer):
    """Says as foreground how red a pixel is, and as classes the three colours."""

    def infer(self, image, inference, with_masks):
        maps = {"foreground": image[..., 0], "semantic": image}
        return super().infer(image, inference, with_masks) | maps


def test_the_maps_have_the_networks_size():
    images = [
        rectangle((48, 64), 10, 10, 30, 40),
        rectangle((100, 50), 20, 10, 70, 40),
    ]
    images[0][..., 1] = 128
    model = Foreseer()
    for image, found in zip(images, Predictor(model)(images), strict=True):
        assert found.foreground.dtype == np.float32
        assert found.foreground.shape == model.config.image_size
        seen = cv2.resize(image, found.foreground.shape[::-1]) / 255
        assert np.abs(found.foreground - seen[..., 0]).mean() < 0.03
        assert np.abs(found.semantic - seen).mean() < 0.03


def test_without_such_a_network_there_are_no_maps():
    found = Predictor(Seer())([rectangle((48, 64), 10, 10, 30, 40)])[0]
    assert found.foreground is None
    assert found.semantic is None


def test_the_foreground_masks_the_result():
    """The left half of a white rectangle is made green: bright, but not red."""
    image = rectangle((48, 64), 10, 10, 30, 49)
    image[:, :30, 0] = 0
    off = Predictor(Foreseer())([image])[0]
    assert off.labels[20, 15] == 1
    on = Predictor(Foreseer(foreground_threshold=0.5))([image])[0]
    expected = np.zeros((48, 64), int)
    expected[10:31, 30:50] = 1
    np.testing.assert_array_equal(on.labels, expected)
    np.testing.assert_array_equal(on.boxes, [[10, 30, 30, 49]])
    grown = Predictor(Foreseer(foreground_threshold=0.5, foreground_dilation=5))
    expected[10:31, 28:30] = 1
    np.testing.assert_array_equal(grown([image])[0].labels, expected)


def test_the_closer_look_keeps_the_whole_images_maps():
    image = rectangle((96, 128), 30, 40, 50, 70)
    image[0, 0, 0] = 255
    model = Foreseer(zoom=2.0)
    found = Predictor(model)([image])[0]
    assert len(model.passes) == 2
    alone = Predictor(Foreseer())([image])[0]
    np.testing.assert_array_equal(found.foreground, alone.foreground)
    np.testing.assert_array_equal(found.semantic, alone.semantic)


def test_a_foreground_that_the_model_does_not_give_is_a_mistake_to_tell():
    with pytest.raises(UserError, match="needs a model with a pre-processing network"):
        Predictor(Seer(foreground_threshold=0.3))([rectangle((48, 64), 1, 1, 9, 9)])


@pytest.mark.parametrize("classes", [1, 3])
def test_a_real_models_maps(classes):
    network = {"foreground_classes": classes, "transposed_depths": (8, 6, 8 + classes)}
    config = tiny.preprocessed(preprocessor=network)
    model = RecurrentAttention(config)
    image, _ = tiny.ellipses(0, 2)
    found = Predictor(model)([image])[0]
    maps = model.maps(image[np.newaxis].astype(np.float32) / 255)
    np.testing.assert_allclose(found.foreground, maps.foreground[0], atol=1e-5)
    if classes == 1:
        assert found.semantic is None
    else:
        np.testing.assert_allclose(found.semantic, maps.semantic[0], atol=1e-5)


# -- several views -----------------------------------------------------------------


class SquareSeer(Seer):
    size = (48, 48)


class Dreamer(SquareSeer):
    """Sees the bright pixels, and something in the upper left of whatever it sees."""

    def infer(self, image, inference, with_masks):
        outputs = super().infer(image, inference, with_masks)
        dream = np.zeros((1, STEPS, *self.size), np.float32)
        dream[:, 1, :9, :9] = 0.9
        second, edges = tf.one_hot([1], STEPS), outputs["boxes"][:, :1]
        return {
            "patches": outputs["patches"] + dream,
            "boxes": outputs["boxes"] + second[..., tf.newaxis] * edges,
            "scores": outputs["scores"] + 0.9 * second,
        }


def test_every_view_is_seen_once():
    model = SquareSeer(views=8)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Predictor(model)([image])
    seen = [np.round(255 * batch[0]).astype(np.uint8) for batch in model.passes]
    turned = [np.rot90(image, turns) for turns in range(4)]
    turned += [np.rot90(image[::-1], turns) for turns in range(4)]
    assert len(seen) == 8
    assert {s.tobytes() for s in seen} == {view.tobytes() for view in turned}


@pytest.mark.parametrize(("kind", "views"), [(SquareSeer, 8), (Seer, 4), (Seer, 2)])
def test_views_that_agree_are_the_image_as_it_is(kind, views):
    images = [
        rectangle(kind.size, 10, 10, 30, 40),
        rectangle((100, 50), 20, 10, 70, 40),
        np.zeros((60, 70, 3), np.uint8),
    ]
    expected = Predictor(kind())(images)
    for one, other in zip(Predictor(kind(views=views))(images), expected, strict=True):
        assert one.count == other.count
        # Each view rounds its edges by itself.
        assert (one.labels != other.labels).mean() < 0.01
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1)
        np.testing.assert_allclose(one.scores, other.scores)


def test_what_hangs_on_the_view_is_outvoted():
    image = rectangle((96, 96), 50, 40, 80, 70)
    alone = Predictor(Dreamer())([image])[0]
    assert alone.count == 2
    assert alone.labels[5, 5] == 2
    agreed = Predictor(Dreamer(views=8))([image])[0]
    np.testing.assert_array_equal(agreed.labels, alone.labels == 1)


@pytest.mark.parametrize("place", [(200, 300, 279, 379), (0, 0, 60, 70)])
def test_views_of_the_closer_look(place):
    """The whole image is looked at once; all views return to its place."""
    model = SquareSeer(zoom=3.0, views=8)
    images = [rectangle((481, 643), *place), np.zeros((481, 643, 3), np.uint8)]
    found, nothing = Predictor(model)(images)
    assert [len(batch) for batch in model.passes] == [2, 1] + [2] * 7
    assert nothing.count == 0
    assert found.count == 1
    np.testing.assert_allclose(found.boxes[0], place, atol=3)
    bright = [(batch[0, ..., 0] > 0.5).sum() for batch in model.passes]
    assert np.ptp(bright[1:]) < 0.05 * bright[1]
    assert bright[1] > 4 * bright[0]


def test_views_keep_the_images_maps_and_its_foreground():
    image = rectangle((96, 128), 30, 40, 50, 70)
    image[:, :60, 0] = 0
    (alone,) = Predictor(Foreseer(foreground_threshold=0.5))([image])
    (found,) = Predictor(Foreseer(foreground_threshold=0.5, views=4))([image])
    np.testing.assert_array_equal(found.foreground, alone.foreground)
    np.testing.assert_array_equal(found.semantic, alone.semantic)
    np.testing.assert_array_equal(found.labels, alone.labels)


@pytest.mark.parametrize("changes", [{"views": 8}, {"revisions": 2}])
def test_watching_shows_the_steps_as_they_are_and_the_result_of_all(changes):
    """Of the image as it is, and before masks are drawn anew."""
    keras.utils.set_random_seed(0)
    model = RecurrentAttention(tiny.config())
    model.scoring.bias.assign([50.0])
    images = [tiny.examples()[0].image]
    (alone,) = Predictor(model).watch(images)
    settings = dataclasses.replace(model.config.inference, **changes)
    predictor = Predictor(model, settings)
    (look,), (found,) = predictor.watch(images), predictor(images)
    for name, values in look.outputs.items():
        np.testing.assert_array_equal(values, alone.outputs[name])
    np.testing.assert_array_equal(look.found.labels, found.labels)
    assert (look.found.labels != alone.found.labels).any()


class Alternating(SquareSeer):
    """Sees the left and the middle in steps 0 and 2, later the right in step 1."""

    def infer(self, image, inference, with_masks):
        edges = [[-0.5, at, 47.5, at + 10.0] for at in (-0.5, 31.5, 15.5)]
        first = tf.py_function(lambda x: len(self.passes) == 0, [image], tf.bool)
        super().infer(image, inference, with_masks)
        return {
            "patches": tf.ones([1, STEPS, *self.size]),
            "boxes": tf.constant([edges]),
            "scores": tf.where(first, [[0.9, 0.0, 0.9]], [[0.0, 0.9, 0.9]]),
        }


def test_the_steps_of_what_views_agree_on(monkeypatch):
    """What is on the right was the other views' alone."""
    monkeypatch.setattr(View, "back", lambda view, labels: labels)
    found = Predictor(Alternating(views=4))([np.zeros((48, 48, 3), np.uint8)])[0]
    steps = {found.labels[20, column]: step for column, step in ((20, 2), (37, -1))}
    assert found.labels[20, 5] == 0
    assert found.steps.tolist() == [steps[1], steps[2]]
