"""Losses, gradients and outputs of tiny models, to compare TensorFlow's CPU kernels.

    python kernels_case.py OUT.npz

Which kernels there are, TF_ENABLE_ONEDNN_OPTS says before TensorFlow is imported.
"""

import pathlib
import sys

if __name__ == "__main__":
    HERE = pathlib.Path(__file__).parent
    sys.path[:0] = [str(HERE), str(HERE.parent)]

import keras
import numpy as np
import tensorflow as tf
import tiny

from keras_recattend import stages
from keras_recattend.model import RecurrentAttention

# The stages that have all of a model's layers between them.
CASES = {
    "ours": (tiny.config, ("box", "segmentation")),
    "paper": (tiny.paper_config, ("joint",)),
}


def batch():
    """Two images without two equal pixels: no maximum has a rival that ties."""
    pair = tiny.batch((3, 2))
    noise = np.random.default_rng(5).uniform(0.0, 0.2, pair["image"].shape)
    return pair | {"image": 0.8 * pair["image"] + tf.constant(noise, tf.float32)}


def values():
    """Return arrays by name: of each config terms, gradients and what `infer` gives.

    As graphs, which oneDNN also rewrites.
    """
    found = {}
    for kind, (make, names) in CASES.items():
        config = make()
        keras.utils.set_random_seed(4)
        model = RecurrentAttention(config)
        for name in names:
            objective = stages.objective(name, config, seed=2)
            terms, gradients = tf.function(_step)(model, objective, batch())
            named = terms | {f"gradient/{k}": v for k, v in gradients.items()}
            found |= {f"{kind}/{name}/{k}": v.numpy() for k, v in named.items()}
        infer = tf.function(lambda image, model=model: model.infer(image, stop=False))
        outputs = infer(batch()["image"])
        found |= {f"{kind}/infer/{k}": v.numpy() for k, v in outputs.items()}
    return found


def _step(model, objective, batch):
    variables = objective.variables(model)
    with tf.GradientTape() as tape:
        terms, _ = objective(model, batch, 0, training=True)
        loss = tf.add_n(list(terms.values()))
    pairs = zip(variables, tape.gradient(loss, variables), strict=True)
    # Keras numbers the models of a process.
    named = {v.path.split("/", 1)[-1]: gradient for v, gradient in pairs}
    return terms, {k: v for k, v in named.items() if v is not None}


if __name__ == "__main__":
    np.savez(sys.argv[1], **values())
