"""What all stages share: seeds, weight decay, the list of stages."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import ablation, stages
from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import looking
from keras_recattend.stages.box import BoxStage
from keras_recattend.stages.objective import kernel_decay, split_seed
from keras_recattend.training import make_optimizer


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny.config())


def test_every_stage_has_its_objective():
    config = tiny.preprocessed()
    for name in stages.STAGES:
        objective = stages.objective(name, config, seed=7)
        assert objective.name == name
        assert objective.seed == 7
        assert objective.stage is config.stages[name]
        names = {"loss", *objective.terms, *objective.measures}
        assert set(objective.trackers) == names


def test_no_canvases_is_the_full_unroll():
    # Where there is no heat map to train.
    without = tiny.config(stages=["box"]).replace(
        box_network={"heat_map": False}, inference={"inhibition": False}
    )
    stage = dataclasses.replace(
        without.stages["box"], canvases=0, freeze_normalization=True
    )
    unrolled_config = without.replace(stages={"box": stage})
    unrolled = stages.objective("box", unrolled_config)
    assert isinstance(unrolled, stages.UnrolledBoxStage)
    assert isinstance(stages.objective("box", tiny.config()), BoxStage)


def test_seeds_of_stages_stay_what_they_were():
    """A run of an older version goes on with the same order of images."""
    assert set(stages.SEED_NUMBERS) == set(stages.STAGES)
    old = {"box": 0, "segmentation": 1, "own_canvases": 2, "joint": 3}
    assert stages.SEED_NUMBERS | old == stages.SEED_NUMBERS
    assert len(set(stages.SEED_NUMBERS.values())) == len(stages.STAGES)


@pytest.mark.parametrize("name", tiny.STAGES)
def test_stages_train_their_own_part(model, name):
    objective = stages.objective(name, model.config)
    trained = {v.path for v in objective.variables(model)}
    of_part = {
        "controller": {v.path for v in model.controller.trainable_variables},
        "segmentation": {v.path for v in model.segmentation.trainable_variables},
        "head": {v.path for v in model.box_head.trainable_variables},
    }
    with_box, with_segments = name != "segmentation", name != "box"
    assert (of_part["controller"] | of_part["head"] <= trained) == with_box
    assert (of_part["segmentation"] <= trained) == with_segments
    assert (model.scoring.bias.path in trained) == with_box


def test_box_stage_leaves_segmentation_as_it_is(model):
    objective = stages.objective("box", model.config)
    optimizer = make_optimizer(objective.stage)
    model.compile(optimizer, objective=objective)
    optimizer.build(objective.variables(model))
    trained = {v.path for v in objective.variables(model)}
    before = {v.path: v.numpy() for v in model.trainable_variables}
    statistics = [v.numpy() for v in model.segmentation.non_trainable_variables]
    model.train_step(tiny.batch((2, 1)))
    for variable in model.trainable_variables:
        if variable.path not in trained:
            np.testing.assert_array_equal(before[variable.path], variable)
    after = model.segmentation.non_trainable_variables
    for old, variable in zip(statistics, after, strict=True):
        np.testing.assert_array_equal(old, variable)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (tiny.preprocessed(), [name for name in stages.STAGES if name != "joint"]),
        # Unrolled, with statistics for every step.
        (tiny.paper_config(), ("box", "joint")),
        (ablation.apply(tiny.config(), "no_box_net"), ("segmentation", "own_canvases")),
    ],
    ids=("steps apart", "unrolled", "no boxes"),
)
def test_frozen_normalization_leaves_the_statistics_alone(config, names):
    model = RecurrentAttention(config)
    for name in names:
        for frozen in (True, False):
            options = dataclasses.replace(
                config.stages[name], freeze_normalization=frozen
            )
            objective = stages.objective(name, config.replace(stages={name: options}))
            before = [v.numpy() for v in model.non_trainable_variables]
            objective(model, tiny.batch((2, 1)), 0, training=True)
            moved = [
                bool((old != v.numpy()).any())
                for old, v in zip(before, model.non_trainable_variables, strict=True)
            ]
            assert any(moved) != frozen, (name, frozen)


def test_draws_depend_on_seed_and_step(model):
    batch = tiny.batch((3, 3))

    def loss(seed, step):
        objective = stages.objective("segmentation", model.config, seed=seed)
        return float(objective(model, batch, step, training=True)[0]["patch"])

    assert loss(1, 5) == loss(1, 5)
    assert loss(1, 5) != loss(1, 6)
    assert loss(1, 5) != loss(2, 5)


def test_any_seed_of_the_command_line_works(model):
    """Training makes the stages' seeds as 1000 times its own and a bit."""
    for seed in (0, 20_261_231 * 1000 + 3, (2**32 - 1) * 1000):
        objective = stages.objective("segmentation", model.config, seed=seed)
        terms, _ = objective(model, tiny.batch((1,)), 0, training=True)
        assert np.isfinite(terms["patch"])


def test_split_seeds_differ():
    seeds = split_seed(tf.constant([0, 1]), 5).numpy()
    assert seeds.shape == (5, 2)
    assert len({tuple(seed) for seed in seeds}) == 5


def test_kernel_decay_counts_kernels_alone(model):
    wanted = 0.0
    for variable in model.trainable_variables:
        if "kernel" in variable.path.split("/")[-1]:
            wanted += 0.5 * (variable.numpy().astype(np.float64) ** 2).sum()
    assert wanted > 0
    found = kernel_decay(model.trainable_variables)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_decay_is_a_term_for_adam_alone(model):
    batch = tiny.batch((2,))
    for optimizer, weight in (("adam", 0.1), ("adamw", 0.1), ("adam", 0.0)):
        config = tiny.config({"optimizer": optimizer, "weight_decay": weight})
        objective = stages.objective("segmentation", config)
        terms, _ = objective(model, batch, 0, training=False)
        assert set(terms) == set(objective.terms)
        assert ("decay" in terms) == (optimizer == "adam" and weight > 0)
        if "decay" in terms:
            decay = 0.1 * kernel_decay(model.segmentation.trainable_variables)
            assert float(terms["decay"]) == pytest.approx(float(decay), rel=1e-6)


@pytest.mark.parametrize("counts", [(2, 0), (0, 0)])
def test_box_terms_are_finite_with_images_without_objects(model, counts):
    objective = stages.objective("box", model.config)
    for training in (True, False):
        terms, measures = objective(model, tiny.batch(counts), 0, training=training)
        for name, value in (terms | measures).items():
            assert np.isfinite(value), name


def test_objects_beyond_the_slots_are_background(model):
    # The joint stage has one slot more than the most objects: the one that ends.
    batch = tiny.batch((2, 1))
    labels = batch["labels"].numpy()
    crowded = labels.copy()
    crowded[:, :3, :3] = np.where(labels[:, :3, :3] == 0, tiny.SLOTS + 1, 0)
    plain = np.where(crowded > tiny.SLOTS, 0, crowded)
    for name in tiny.STAGES:
        stage = stages.objective(name, model.config)
        terms = [
            stage(model, batch | {"labels": tf.constant(values)}, 0, training=False)[0]
            for values in (crowded, plain)
        ]
        for term in stage.terms:
            np.testing.assert_allclose(terms[0][term], terms[1][term], rtol=1e-6)


def test_validation_is_the_same_whenever_it_comes(model):
    model.compile("sgd", objective=stages.objective("box", model.config))
    values, before = [], [v.numpy() for v in model.non_trainable_variables]
    for step in (0, 7):
        model.optimizer.iterations.assign(step)
        found = model.validation_values(tiny.batch((3, 2)))
        values.append({name: float(value) for name, value in found.items()})
    assert values[0] == values[1]
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def spilling(name):
    """A model and its objective where every mask that is shown covers all others."""
    config = tiny.config({"canvases": 2}, stages=[name])
    # In this order: without a centre map there is no spill.
    config = config.replace(box_network={"center_map": True})
    # All canvases are true, but own ones are drawn beside them.
    options = {"true_canvases": 0.999999} if name == "own_canvases" else {}
    stage = dataclasses.replace(config.stages[name], spill=1.0, **options)
    config = config.replace(stages={name: stage})
    return RecurrentAttention(config), stages.objective(name, config, seed=1)


def test_what_spills_over_is_on_the_canvas_and_left_to_find(monkeypatch):
    """A mask that covers a neighbour has not found it."""
    batch, seen = tiny.batch((3, 2)), {}
    model, objective = spilling("box")
    look, terms = model.look, looking.look_terms

    def look_at(prepared, canvas, **options):
        seen["canvas"] = canvas
        return look(prepared, canvas, **options)

    def terms_of(*given):
        seen["left"] = given[5]
        return terms(*given)

    monkeypatch.setattr(model, "look", look_at)
    monkeypatch.setattr(looking, "look_terms", terms_of)
    objective(model, batch, 0, training=False)
    painted = np.repeat(batch["labels"] > 0, 2, axis=0)
    np.testing.assert_array_equal(seen["canvas"] > 0, painted)
    assert np.any(seen["left"])


def test_what_spills_over_on_own_canvases_too():
    batch = tiny.batch((3, 2))
    model, objective = spilling("own_canvases")
    truth = objective.true_boxes(batch["labels"])
    seeds = split_seed(tf.constant([4, 9]), 10)
    shown = objective._shown(model, batch, truth, seeds, training=False)
    painted = np.repeat(batch["labels"] > 0, 2, axis=0)
    np.testing.assert_array_equal(shown.canvases > 0, painted)
    assert np.any(shown.uncovered)
