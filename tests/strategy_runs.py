"""Tiny trainings on several devices or machines, each a process of its own.

    python strategy_runs.py both OUT STAGES NORMALIZATION
        on one device, then on two logical CPUs; weights to OUT/one.npz and two.npz
    python strategy_runs.py worker RUN INTERRUPT
        one of the machines of TF_CONFIG; goes on where RUN has a state; the machine
        with index 1 gets Ctrl-C in step INTERRUPT (0 = none)

TensorFlow must be told of two logical devices before it starts.
"""

import json
import logging
import os
import pathlib
import signal
import sys

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tiny  # noqa: E402

from keras_recattend.callbacks import Pace  # noqa: E402
from keras_recattend.model import RecurrentAttention  # noqa: E402
from keras_recattend.run_folder import RunFolder  # noqa: E402
from keras_recattend.training import Training, seed_everything  # noqa: E402
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


def both(out, stages, normalization, precision="float32"):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    stages = stages.split(",")
    make = tiny.preprocessed if "preprocess" in stages else tiny.config
    config = make(OPTIONS, stages=stages, normalization=normalization)
    for name, workers in ("one", Workers()), ("two", Workers.of("mirrored")):
        model = train(pathlib.Path(out) / name, workers, config, precision)
        save(model, pathlib.Path(out) / f"{name}.npz")


def worker(run, interrupt):
    workers = Workers.of("multiworker")
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    if index == 1 and int(interrupt):
        ctrl_c_in(int(interrupt))
    config = tiny.config(OPTIONS, stages=["segmentation"], normalization="group")
    model = train(run, workers, config, examples=tiny.examples(((32, 32),)))
    save(model, pathlib.Path(run).parent / f"worker{index}.npz")
    workers.barrier()


def ctrl_c_in(step):
    before = Pace.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        before(self, batch, logs)
        if self.clock.step == step:
            signal.raise_signal(signal.SIGINT)

    Pace.on_train_batch_end = on_train_batch_end


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    command, *arguments = sys.argv[1:]
    {"both": both, "worker": worker}[command](*arguments)
