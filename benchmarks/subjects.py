"""From a `Case` to a function that runs it once. Imported in a worker alone."""

import dataclasses
import itertools
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_recattend import presets, stages
from keras_recattend.model import RecurrentAttention
from keras_recattend.training import make_optimizer

__all__ = ["CountingModel", "config_of", "subject"]


# Images of the pipeline's data set, and batches of one repetition: many, since a few
# lie ready from before.
PLANTS, BATCHES = 32, 100
# Large files of one repetition.
FILES = 8
# Side of the pictures that are predicted, whatever the network's input.
PICTURE = 448


class CountingModel(RecurrentAttention):
    """Finds as many objects as an image's first pixel says, whatever its weights.

    What a step costs does not depend on the weights; how many steps there are does.
    The first pixel's red is the number of objects, in hundredths.
    """

    def find(self, prepared, canvas, step=0, **options):
        box, segment, score = super().find(prepared, canvas, step, **options)
        told = tf.round(100.0 * prepared.image[:, 0, 0, 0])
        left = tf.cast(tf.cast(step, tf.float32) < told, tf.float32)
        # The score is computed and counts for nothing.
        return box, segment, 0.9 * left + 0.0 * score


def config_of(case):
    """Return the preset's `Config` with the case's sizes."""
    config = presets.get(case.preset)
    changes = {"inference": {"stop": True, "zoom": 1.0}}
    if case.size is not None:
        changes["image_size"] = (case.size, case.size)
    if case.timespan is not None:
        changes["max_instances"] = case.timespan - 1
    if case.recompute:
        changes["box_network"] = {"recompute": case.recompute}
    return config.replace(**changes)


def pictures(config, batch, objects, seed=0):
    """Return a batch of noise with squares: "image" and "labels"."""
    random = np.random.default_rng(seed)
    height, width = config.image_size
    labels = np.zeros((batch, height, width), np.int32)
    side = max(4, height // 7)
    for one in labels:
        for i in range(min(objects, config.max_instances)):
            top, left = random.integers(0, (height - side, width - side))
            one[top : top + side, left : left + side] = i + 1
    image = random.uniform(size=(batch, height, width, 3)).astype(np.float32)
    image[:, 0, 0, 0] = objects / 100.0
    return {"image": tf.constant(image), "labels": tf.constant(labels)}


def subject(case):
    """Return (run, images): `run()` does it once, on that many images."""
    keras.utils.set_random_seed(0)
    return {
        "train": _training,
        "infer": _inference,
        "predict": _prediction,
        "files": _files,
        "pipeline": _pipeline,
    }[case.kind](case)


def _training(case):
    config = config_of(case)
    objective = stages.objective(case.stage, config)
    if case.variant == "plain":
        from benchmarks.plain import PlainModel

        model = PlainModel(config)
        model.compile(make_optimizer(objective.stage))
        model.optimizer.build(model.trainable_variables)
    else:
        model = RecurrentAttention(config)
        model.compile(make_optimizer(objective.stage), objective=objective)
        model.optimizer.build(objective.variables(model))
    batch = pictures(config, case.batch, case.objects)
    step = tf.function(model.train_step).get_concrete_function(batch)
    return lambda: step(batch)["loss"].numpy(), case.batch


def _inference(case):
    config = config_of(case)
    batch = pictures(config, case.batch, case.objects)["image"]
    if case.variant == "plain":
        from benchmarks.plain import PlainModel

        model = PlainModel(config)
        run = tf.function(lambda image: model(image)["scores"])
    else:
        model = CountingModel(config)
        masks = not model.is_normalized
        run = tf.function(
            lambda image: model.infer(image, with_masks=masks)["scores"],
            autograph=False,
        )
    run = run.get_concrete_function(batch)
    return lambda: run(batch).numpy(), case.batch


def _prediction(case):
    """From uint8 images to label maps at their own size."""
    from keras_recattend.prediction import Predictor

    config = config_of(case)
    predictor = Predictor(CountingModel(config), batch_size=case.batch)
    shape = (case.batch, PICTURE, PICTURE, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    # A corner of one colour, so that its first pixel keeps it when it is resized.
    images[:, :16, :16, 0] = round(2.55 * case.objects)
    images = list(images)
    return lambda: predictor(images), case.batch


def _files(case):
    """From JPEG files of 12 million pixels to the folder of results, as predict.py."""
    from PIL import Image

    from keras_recattend.input_files import source_of
    from keras_recattend.predict_files import predict_files
    from keras_recattend.prediction import Predictor
    from keras_recattend.prediction_folder import PredictionFolder

    predictor = Predictor(CountingModel(config_of(case)), batch_size=case.batch)
    folder = tempfile.TemporaryDirectory()
    root, runs = Path(folder.name), itertools.count()
    files = [root / f"{i}.jpg" for i in range(FILES)]
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    coarse[:2, :2, 0] = round(2.55 * case.objects)
    for file in files:
        Image.fromarray(coarse).resize((4000, 3000)).save(file, quality=90)

    def run():
        out = PredictionFolder(folder.name + f"/out{next(runs)}")
        out.prepare({"weights": "random"}, map(source_of, files), False)
        predict_files(predictor, out, files)

    return run, FILES


def _pipeline(case):
    """Batches of synthetic leaves, as training reads them: records, augmentation."""
    from datasets import pipeline
    from datasets.leaves import rendered_leaves
    from datasets.writer import write_records

    config = config_of(case)
    source = rendered_leaves(train=PLANTS, val=0, test=0)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_records(source, Path(folder) / "records", 0, progress=False)
        stream = pipeline.training_stream(
            manifest,
            [image.source_id for image in manifest.images],
            config.image_size,
            config.max_instances,
            # All of these plants are rendered.
            dataclasses.replace(config.augmentation, rendered=0.0),
            case.batch,
            seed=0,
        )
        batches = iter(stream)
        # Until every image is decoded and in memory.
        for _ in range(2 * PLANTS // case.batch):
            next(batches)

    def run():
        for _ in range(BATCHES):
            next(batches)

    return run, BATCHES * case.batch
