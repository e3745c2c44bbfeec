"""Tiny trainings on several devices or machines, each a process of its own.

    python strategy_runs.py both OUT STAGES NORMALIZATION
        on one device, then on two logical CPUs; weights to OUT/one.npz and two.npz
    python strategy_runs.py overflow OUT
        the same in float16, where one gradient of the last device is infinite
    python strategy_runs.py plain OUT
        compiled and fitted as in Keras' guides, on one device and on two
    python strategy_runs.py uneven OUT STAGE NORMALIZATION
        the same where two devices cannot divide the batches: fit, evaluate, predict
    python strategy_runs.py worker RUN INTERRUPT
        one of the machines of TF_CONFIG; goes on where RUN has a state; the machine
        with index 1 gets Ctrl-C in step INTERRUPT (0 = none)

TensorFlow must be told of two logical devices before it starts.
"""

import json
import logging
import os
import pathlib
import sys

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import ctrl_c  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tiny  # noqa: E402

from keras_recattend import stages as all_stages  # noqa: E402
from keras_recattend.model import RecurrentAttention  # noqa: E402
from keras_recattend.run_folder import RunFolder  # noqa: E402
from keras_recattend.stages.objective import Objective  # noqa: E402
from keras_recattend.training import (  # noqa: E402
    Training,
    make_optimizer,
    seed_everything,
)
from keras_recattend.workers import Workers  # noqa: E402

# More than any of the trainings sees.
SAMPLES = 64
OPTIONS = {"batch_size": 4, "steps": 4, "steps_per_epoch": 2, "learning_rate": 1e-3}


def stream(batch_size, start, seed, share=(1, 0, 1)):
    """The batches of `tiny.stream`, this share of them."""
    total, first, count = share
    part = batch_size // total
    numbers = range(start, start + SAMPLES)
    pairs = [tiny.sample(number, seed) for number in numbers]
    devices = [i % batch_size // part for i in range(SAMPLES)]
    mine = [i for i, d in enumerate(devices) if first <= d < first + count]
    images = np.stack([pairs[i][0] for i in mine]).astype(np.float32) / 255.0
    labels = np.stack([pairs[i][1] for i in mine])
    samples = tf.data.Dataset.from_tensor_slices({"image": images, "labels": labels})
    return samples.batch(part, drop_remainder=True)


def whole_batches(batch_size, seed, samples=SAMPLES):
    """Batches that Keras divides among the devices; the last may be smaller."""
    pairs = [tiny.sample(number, seed) for number in range(samples)]
    images = np.stack([image for image, _ in pairs]).astype(np.float32) / 255.0
    labels = np.stack([labels for _, labels in pairs])
    samples = tf.data.Dataset.from_tensor_slices({"image": images, "labels": labels})
    return samples.batch(batch_size)


def train(path, workers, config, precision="float32", examples=()):
    """Train or go on; return the model."""
    folder = RunFolder(path)
    resume = folder.state_file.exists()
    if workers.is_chief and not resume:
        folder.create(config)
    workers.barrier()
    seed_everything(3)
    with workers.scope():
        model = RecurrentAttention(config, dtype=precision)
    Training(
        model,
        folder,
        stream,
        tiny.validation,
        examples,
        seed=3,
        bar=False,
        workers=workers,
    ).run(resume=resume)
    return model


def save(model, path):
    # Keras numbers the models of a process.
    names = [v.path.split("/", 1)[1] for v in model.weights]
    np.savez(path, **dict(zip(names, (v.numpy() for v in model.weights), strict=True)))


def two_devices():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )


def both(out, stages, normalization, precision="float32"):
    two_devices()
    stages = stages.split(",")
    make = tiny.preprocessed if "preprocess" in stages else tiny.config
    config = make(OPTIONS, stages=stages, normalization=normalization)
    for name, workers in ("one", Workers()), ("two", Workers.of("mirrored")):
        model = train(pathlib.Path(out) / name, workers, config, precision)
        save(model, pathlib.Path(out) / f"{name}.npz")


def overflow(out):
    two_devices()
    make_infinite(step=1)
    # Adam would blow the rounding of gradients near 0 up to whole steps.
    options = OPTIONS | {"optimizer": "momentum", "learning_rate": 0.01}
    config = tiny.config(options, stages=["segmentation"], normalization="group")
    for name, workers in ("one", Workers()), ("two", Workers.of("mirrored")):
        seed_everything(3)
        with workers.scope():
            model = RecurrentAttention(config, dtype="mixed_float16")
            objective = all_stages.objective("segmentation", config, seed=3)
            optimizer = make_optimizer(objective.stage, workers.replicas)
            model.compile(optimizer, objective=objective)
            model.optimizer.build(objective.variables(model))
        save(model, pathlib.Path(out) / "start.npz")
        share = (workers.replicas, 0, workers.replicas)
        batches = workers.distributed(lambda share=share: stream(4, 0, 3, share))
        run = model.fit(batches, steps_per_epoch=4, shuffle=False, verbose=0)
        save(model, pathlib.Path(out) / f"{name}.npz")
        facts = {
            "taken": int(model.optimizer.iterations.numpy()),
            "skipped": int(objective.skipped.numpy()),
            "scale": float(model.optimizer.dynamic_scale.numpy()),
            **{name: float(values[-1]) for name, values in run.history.items()},
        }
        (pathlib.Path(out) / f"{name}.json").write_text(json.dumps(facts))


def one_and_two():
    """The strategies of one device and of two, by name."""
    return {
        "one": tf.distribute.get_strategy(),
        "two": tf.distribute.MirroredStrategy(),
    }


def plain(out):
    """As in Keras' guides: compile and fit within the strategy's scope, and no more."""
    two_devices()
    config = tiny.config(OPTIONS, stages=["segmentation"], normalization="group")
    for name, strategy in one_and_two().items():
        seed_everything(3)
        with strategy.scope():
            model = RecurrentAttention(config)
            objective = all_stages.objective("segmentation", config, seed=3)
            optimizer = keras.optimizers.Adam(1e-3, clipnorm=None)
            model.compile(optimizer, objective=objective)
        model.fit(whole_batches(4, 3), steps_per_epoch=3, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations.numpy()) == 3
        save(model, pathlib.Path(out) / f"{name}.npz")


def uneven(out, stage, normalization):
    """Five images in batches of 4, and three: 2 + 2, 1 + 0 and 2 + 1 on two devices."""
    two_devices()
    make = tiny.preprocessed if stage == "preprocess" else tiny.config
    config = make(OPTIONS, stages=[stage], normalization=normalization)
    for name, strategy in one_and_two().items():
        seed_everything(3)
        with strategy.scope():
            model = RecurrentAttention(config)
            objective = all_stages.objective(stage, config, seed=3)
            model.compile(keras.optimizers.SGD(0.01, 0.9), objective=objective)
        facts = {}
        for samples in (5, 3):
            batches = whole_batches(4, 3, samples)
            run = model.fit(batches, epochs=2, shuffle=False, verbose=0)
            facts |= {f"{key}_{samples}": v for key, v in run.history.items()}
            losses = model.evaluate(batches, verbose=0, return_dict=True)
            facts |= {f"val_{key}_{samples}": [v] for key, v in losses.items()}
            found = model.predict(batches.map(lambda batch: batch["image"]), verbose=0)
            arrays = {f"{key}_{samples}": value for key, value in found.items()}
            np.savez(pathlib.Path(out) / f"{name}-found-{samples}.npz", **arrays)
        save(model, pathlib.Path(out) / f"{name}.npz")
        facts = {key: [float(v) for v in values] for key, values in facts.items()}
        (pathlib.Path(out) / f"{name}.json").write_text(json.dumps(facts))


def make_infinite(step):
    """Have the last device's gradient be infinite in a step; its loss stays."""
    before = Objective.__call__

    def call(self, model, batch, number, training):
        terms, measures = before(self, model, batch, number, training)
        context = tf.distribute.get_replica_context()
        last = context.replica_id_in_sync_group == context.num_replicas_in_sync - 1
        infinite = tf.logical_and(last, number == step)

        @tf.custom_gradient
        def bent(value):
            return tf.identity(value), lambda g: tf.where(infinite, np.inf, g)

        return {name: bent(value) for name, value in terms.items()}, measures

    Objective.__call__ = call


def worker(run, interrupt):
    workers = Workers.of("multiworker")
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    if index == 1:
        ctrl_c.in_step(int(interrupt))
    config = tiny.config(OPTIONS, stages=["segmentation"], normalization="group")
    model = train(run, workers, config, examples=tiny.examples(((32, 32),)))
    save(model, pathlib.Path(run).parent / f"worker{index}.npz")
    workers.barrier()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    command, *arguments = sys.argv[1:]
    commands = (both, overflow, plain, uneven, worker)
    {function.__name__: function for function in commands}[command](*arguments)
