"""RecurrentAttention: the whole model, one object a step."""

import typing

import keras
import tensorflow as tf

from keras_recattend import boxes, replicas
from keras_recattend.config import Config
from keras_recattend.layers import (
    Canvas,
    Controller,
    GaussianFilters,
    HeatMapHead,
    LateCanvasController,
    LinearHead,
    Scoring,
    SegmentationNetwork,
    WholeImage,
)
from keras_recattend.layers.gaussian import BETA, extract, filter_means, reproject
from keras_recattend.preprocessor import Maps, PreprocessingNetwork
from keras_recattend.unrolling import time_second, unroll

__all__ = ["Prepared", "RecurrentAttention", "Segment"]

# A step that adds fewer new pixels than this share of its box has found nothing.
LEAST_NEW_SHARE = 0.05


class Prepared(typing.NamedTuple):
    """What is computed once an image: see `RecurrentAttention.prepare`.

    Attributes:
        image: [B, H, W, 3]. extra: [B, H, W, E] or None.
        features: the controller's, a tuple of [B, ...].
        pools: the controller's pooling factors, where they are not its own.
    """

    image: tf.Tensor
    extra: tf.Tensor | None
    features: tuple
    pools: tuple = ()

    def repeat(self, times):
        """Repeat the features for `times` canvases an image; the image stays."""
        if times == 1:
            return self
        return self._replace(
            features=tuple(tf.repeat(f, times, axis=0) for f in self.features)
        )


class Segment(typing.NamedTuple):
    """One object cut out and segmented.

    Attributes:
        center, size: [N, 2], what the patch showed, in pixels.
        patch: [N, h, w, C], the segmentation network's input.
        heat: [N, h, w], its patch heat map or logits.
        features: its CNN's last map.
        mask: y_t, [N, H, W] in [0, 1].
    """

    center: tf.Tensor
    size: tf.Tensor
    patch: tf.Tensor
    heat: tf.Tensor
    features: tf.Tensor
    mask: tf.Tensor


@keras.saving.register_keras_serializable("keras_recattend")
class RecurrentAttention(keras.Model):
    """End-to-end instance segmentation with recurrent attention (Ren & Zemel, 2017).

    At every step a controller CNN looks at image and canvas, a glimpse LSTM draws a
    box, Gaussian filters cut a patch, a small network segments its one dominant
    object, the mask is pasted back and added to the canvas, and a score says whether
    there was one.

    Args:
        config: a `Config`, see `keras_recattend.presets`.

    Call arguments:
        inputs: float32 images [B, H, W, 3] in [0, 1], of the config's size, or a dict
            with "image" and "extra" [B, H, W, E] where the config has extra channels
            but no pre-processing network (with one, "extra" replaces its maps).

    Returns:
        A dict; steps after an image's last object are zero:
        "masks" [B, T, H, W], "scores" [B, T], "boxes" [B, T, 4] (y0, x0, y1, x1 of the
        patch in pixels), "patches" [B, T, h, w], "count" int32 [B]; with a
        pre-processing network "foreground" [B, H, W] and, where it has classes,
        "semantic" [B, H, W, K], probabilities.

    Example:
        >>> model = RecurrentAttention(presets.get("leaves"))
        >>> model(tf.zeros([1, 224, 224, 3]))["count"].shape
        TensorShape([1])
    """

    # The matching is scipy's: XLA cannot compile the training step.
    supports_jit = False

    def __init__(self, config, **kwargs):
        # Images stay float32 under mixed precision; the convolutions cast them.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.config = config
        network, segmentation = config.box_network, config.segmentation
        common = {
            "normalization": config.normalization,
            "steps": config.timespan,
            "initializer": config.initializer,
            "dtype": self.dtype_policy,
        }
        self.preprocessor = None
        if config.preprocessor is not None:
            self.preprocessor = PreprocessingNetwork.of_config(
                config, name="preprocessor", dtype=self.dtype_policy
            )
        self.grid = tuple(extent // network.stride for extent in config.image_size)
        if network.late_canvas:
            self.controller = LateCanvasController(
                network.depths,
                network.pools,
                network.space_to_depth,
                network.context_depths,
                network.feature_depth,
                network.canvas_depth,
                network.joint_layers,
                network.joint_context_depths,
                name="controller",
                **common,
            )
        else:
            self.controller = Controller(
                network.depths,
                network.pools,
                recompute=network.recompute,
                name="controller",
                **common,
            )
        self.box_head = _box_head(config, self.grid)
        self.filters = GaussianFilters(
            config.image_size, segmentation.patch_size, segmentation.filters
        )
        self.segmentation = SegmentationNetwork(
            segmentation.depths,
            segmentation.pools,
            segmentation.transposed_depths,
            segmentation.transposed_factors,
            segmentation.skips,
            segmentation.output,
            name="segmentation",
            **common,
        )
        self.canvas = Canvas(name="canvas")
        self.scoring = Scoring(
            self.box_head.state_size,
            segmentation.features_size,
            config.initializer,
            name="scoring",
        )
        self.objective = None
        self.build()

    @property
    def is_normalized(self):
        """Whether boxes are tight and filters normalised (not the paper's density)."""
        return self.config.segmentation.filters == "normalized"

    @property
    def instance_variables(self):
        """All trained variables but those of the pre-processing network."""
        if self.preprocessor is None:
            return self.trainable_variables
        fixed = {id(v) for v in self.preprocessor.trainable_variables}
        return [v for v in self.trainable_variables if id(v) not in fixed]

    def build(self, input_shape=None):
        if self.built:
            return
        config = self.config
        image = (None, *config.image_size, 3)
        network = config.box_network
        depth = network.feature_depth if network.late_canvas else network.depths[-1]
        patch = (None, *config.segmentation.patch_size, 4 + config.extra_channels)
        if self.preprocessor is not None:
            self.preprocessor.build(image)
        if network.sees_image:
            self.controller.build(image, config.extra_channels)
        else:
            self.controller.build((*image[:3], config.extra_channels))
        self.box_head.build((None, *self.grid, depth))
        self.segmentation.build(patch)
        self.scoring.build()
        self.filters.build(None)
        self.canvas.build(None)
        self.built = True

    # -- one step ----------------------------------------------------------------------

    def maps(self, image):
        """Return the pre-processing network's `Maps`, as the other networks read them.

        By its moving statistics and without gradient: only its own stage trains it.
        """
        maps = self.preprocessor(image)
        return Maps(
            *(None if values is None else tf.stop_gradient(values) for values in maps)
        )

    def prepare(self, image, extra=None, training=False):
        """Return what the steps need of images [B, H, W, 3], computed once.

        Args:
            extra: [B, H, W, E]; None = the pre-processing network's maps, if any.
        """
        if extra is None and self.preprocessor is not None:
            extra = self.maps(image).extra
        seen = (image, extra) if self.config.box_network.sees_image else (extra,)
        features = self.controller.prepare(*seen, training=training)
        return Prepared(image, extra, features)

    def look(self, prepared, canvas, step=0, training=False, blocked=None):
        """Return the `Box` of the next object for canvases [N, H, W] (eq. 3-10)."""
        pools = {"pools": prepared.pools} if prepared.pools else {}
        u = self.controller(
            prepared.features, canvas, step=step, training=training, **pools
        )
        return self.box_head(
            u, sharpness=self.config.box_network.sharpness, blocked=blocked
        )

    def segment(self, prepared, canvas, box, center, size, step=0, training=False):
        """Cut the box, segment it, and paste the mask back (eq. 11-19).

        Args:
            canvas: [N, H, W]. box: the `Box`, for its variance and gammas.
            center, size: [N, 2] pixels, what to cut: the box's own or the truth.
        """
        read, write = self.filters(center, size, box.log_variance)
        parts = [extract(prepared.image, *read)]
        parts.append(extract(canvas[..., tf.newaxis], *read))
        if prepared.extra is not None:
            parts.append(extract(prepared.extra, *read))
        patch = tf.concat(parts, axis=-1)
        if not self.is_normalized:
            patch *= tf.exp(box.log_gamma_patch)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        result = self.segmentation(patch, step=step, training=training)
        if self.is_normalized:
            mask = reproject(tf.sigmoid(result.heat), *write)
        else:
            gamma = tf.exp(box.log_gamma_mask)[:, tf.newaxis, tf.newaxis]
            mask = tf.sigmoid(gamma * reproject(result.heat, *write) - BETA)
        return Segment(center, size, patch, result.heat, result.features, mask)

    def patch_box(self, box):
        """Return (center, size) of the patch for a predicted box."""
        if self.is_normalized:
            return box.center, box.size * self.config.segmentation.padding
        return box.center, box.size

    def around_mask(self, segment, growth=0.0):
        """Return (center, size) of a patch drawn anew round the found mask.

        The box of the patch's cells above 1/2, padded; where there is none, the old.
        Sides that the mask touches move out by `growth` of the old size.
        """
        found = segment.heat > 0.0
        axes = []
        for axis, length in enumerate(self.config.segmentation.patch_size):
            any_cell = tf.reduce_any(found, axis=2 - axis)
            means = filter_means(segment.center[:, axis], segment.size[:, axis], length)
            low = tf.reduce_min(tf.where(any_cell, means, means.dtype.max), axis=-1)
            high = tf.reduce_max(tf.where(any_cell, means, means.dtype.min), axis=-1)
            touches = tf.cast(any_cell, means.dtype)
            low -= growth * segment.size[:, axis] * touches[:, 0]
            high += growth * segment.size[:, axis] * touches[:, -1]
            axes.append((low, high, segment.size[:, axis] / length))
        low, high, cell = (
            tf.stack(values, axis=-1) for values in zip(*axes, strict=True)
        )
        exists = tf.reduce_any(found, axis=[1, 2])[:, tf.newaxis]
        size = (high - low + cell) * self.config.segmentation.padding
        return (
            tf.where(exists, (low + high) / 2.0, segment.center),
            tf.where(exists, size, segment.size),
        )

    def find(self, prepared, canvas, step=0, blocked=None, inference=None):
        """Look and segment as in inference: (box, segment, score [N])."""
        settings = inference or self.config.inference
        box = self.look(prepared, canvas, step=step, blocked=blocked)
        segment = self.segment(prepared, canvas, box, *self.patch_box(box), step=step)
        for _ in range(settings.refinements):
            center, size = self.around_mask(segment, settings.growth)
            segment = self.segment(prepared, canvas, box, center, size, step=step)
        return box, segment, tf.sigmoid(self.scoring(box.state, segment.features))

    # -- the loops ---------------------------------------------------------------------

    def call(self, inputs, training=False):
        image, extra = _inputs(inputs)
        return self.infer(image, extra)

    def infer(
        self,
        image,
        extra=None,
        stop=None,
        inference=None,
        with_masks=True,
        with_attention=False,
    ):
        """Run the steps until every image's score has fallen below the threshold.

        An image that has finished drops out of the batch: the cost grows with the
        objects that are there.

        Args:
            image: float32 [B, H, W, 3]. extra: [B, H, W, E]; None = the
                pre-processing network's maps, if there is one.
            stop: whether to end at the first low score; None = the config's choice.
                Without stopping, all T steps are run and returned.
            inference: an `Inference` in place of the config's own.
            with_masks: also return "masks" [B, T, H, W] and the last "canvas".
            with_attention: also return "attention" [B, T, G, P] and, with a heat map,
                "heat" [B, T, P], its probabilities.

        Returns:
            See the class. "steps" is the number of steps that were run.
        """
        _check_images(image, self.config.image_size)
        settings = inference or self.config.inference
        stop = settings.stop if stop is None else stop
        timespan = self.config.timespan
        batch = tf.shape(image)[0]
        maps = None
        if extra is None and self.preprocessor is not None:
            maps = self.maps(image)
            extra = maps.extra
        prepared = self.prepare(image, extra)
        h, w = self.config.segmentation.patch_size
        shapes = {"scores": [], "boxes": [4], "patches": [h, w]}
        if with_masks:
            shapes["masks"] = list(self.config.image_size)
        if with_attention:
            reads = self.config.box_network.glimpses + self.config.box_network.heat_map
            shapes["attention"] = [reads, self.grid[0] * self.grid[1]]
            if self.config.box_network.heat_map:
                shapes["heat"] = [self.grid[0] * self.grid[1]]
        arrays = _arrays(shapes, timespan, image.shape[0])

        # Of the images that are not finished; `index` says which of the batch they are.
        state = {
            "image": prepared.image,
            "features": prepared.features,
            "canvas": self.canvas.blank(batch, self.config.image_size),
            "blocked": tf.zeros([batch, self.grid[0] * self.grid[1]]),
        }
        if extra is not None:
            state["extra"] = prepared.extra

        def more(t, index, state, arrays):
            return (t < timespan) & (tf.size(index) > 0)

        def body(t, index, state, arrays):
            here = prepared._replace(
                image=state["image"],
                extra=state.get("extra"),
                features=state["features"],
            )
            canvas, blocked = state["canvas"], state["blocked"]
            box, segment, score = self.find(
                here, canvas, step=t, blocked=blocked, inference=settings
            )
            active = tf.ones_like(score, tf.bool)
            if stop:
                active = score >= settings.score_threshold
            on = tf.cast(active, tf.float32)
            mask = segment.mask * on[:, tf.newaxis, tf.newaxis]
            if settings.inhibition:
                blocked = self._inhibit(blocked, box, canvas, segment)
            low, high = boxes.corners(segment.center, segment.size)
            values = {
                "scores": score * on,
                "boxes": tf.concat([low, high], axis=-1) * on[:, tf.newaxis],
                "patches": self._cells(segment) * on[:, tf.newaxis, tf.newaxis],
                "masks": mask,
                "attention": box.attention * on[:, tf.newaxis, tf.newaxis],
            }
            if box.heat is not None:
                values["heat"] = tf.sigmoid(box.heat) * on[:, tf.newaxis]
            arrays = {
                name: a.write(t, _spread(values[name], index, batch))
                for name, a in arrays.items()
            }
            state = state | {"canvas": self.canvas(canvas, mask), "blocked": blocked}
            if stop:
                index, state = _still(active, index, state)
            return t + 1, index, state, arrays

        steps, _, _, arrays = tf.while_loop(
            more,
            body,
            (tf.constant(0), tf.range(batch), state, arrays),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None]),
                tf.nest.map_structure(
                    lambda x: tf.TensorShape([None, *x.shape[1:]]), state
                ),
                tf.nest.map_structure(lambda _: None, arrays),
            ),
        )
        outputs = {name: time_second(a.stack()) for name, a in arrays.items()}
        outputs["count"] = tf.reduce_sum(
            tf.cast(outputs["scores"] >= settings.score_threshold, tf.int32), axis=1
        )
        outputs["steps"] = tf.fill([batch], steps)
        if with_masks:
            outputs["canvas"] = tf.reduce_max(outputs["masks"], axis=1)
        if maps is not None:
            outputs["foreground"] = maps.foreground
            if maps.semantic is not None:
                outputs["semantic"] = maps.semantic
        return outputs

    def _cells(self, segment):
        """The patch as probabilities (normalised filters), or its heat map."""
        return tf.sigmoid(segment.heat) if self.is_normalized else segment.heat

    def _inhibit(self, blocked, box, canvas, segment):
        """Shut the attended cell of steps that added next to nothing."""
        new = tf.reduce_sum(tf.nn.relu(segment.mask - canvas), axis=[1, 2])
        area = tf.reduce_prod(segment.size, axis=-1)
        stuck = tf.cast(new < LEAST_NEW_SHARE * area, tf.float32)
        cell = tf.one_hot(tf.argmax(box.place, axis=-1), blocked.shape[-1])
        return tf.maximum(blocked, stuck[:, tf.newaxis] * cell)

    def unroll(
        self,
        prepared,
        truth,
        switches,
        noise_seed=None,
        training=False,
        segment_objects=True,
        collect=("masks", "scores", "box_iou"),
        cut=None,
    ):
        """Run all T steps as training does, with the truth mixed in (section 2.6).

        Args:
            prepared: see `prepare`. truth: a `Truth`.
            switches: (box, mask), each [B, T], 1 where the greedily matched truth's box
                is cut, and its mask written to the canvas, instead of the output.
            noise_seed: int32 [2] for noise on true masks written to the canvas, or
                None = no noise.
            training: whether normalisation uses the batch's statistics.
            segment_objects: False for the paper's box stage: no segmentation, the
                score from the LSTM state alone.
            collect: names of what to return, out of "masks", "scores" [B, T],
                "box_iou" (soft box IoU [B, T, T]; without boxes that of the masks),
                "greedy", "canvas" (after the step),
                "box_masks", "center", "size", "center_used", "size_used", "raw",
                "log_variance", "attention", "patch", "heat".
            cut: a `Truth` whose boxes are cut in place of the truth's own (noise).

        Returns:
            A dict of the collected, time as the second axis.
        """
        return unroll(
            self,
            prepared,
            truth,
            switches,
            noise_seed,
            training,
            segment_objects,
            collect,
            cut,
        )

    # -- training ----------------------------------------------------------------------

    def compile(self, optimizer="adam", objective=None, **kwargs):
        """Prepare for `fit` on one stage's objective; the default is the joint stage.

        Args:
            optimizer: as in Keras.
            objective: see `keras_recattend.stages`.
        """
        if objective is None:
            from keras_recattend.stages.joint import JointStage

            objective = JointStage(self.config)
        kwargs.setdefault("jit_compile", False)
        super().compile(optimizer=optimizer, **kwargs)
        self.objective = objective

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Do nothing: the model is built when it is made.

        On several devices Keras would take a batch off the stream for that, and fail
        to average its label maps.
        """

    @property
    def metrics(self):
        """Running means of the objective's numbers; Keras resets them each epoch."""
        if not self.objective:
            return []
        return [*self.objective.trackers.values(), self.objective.gradient_norm]

    # No Python branch or loop here depends on a tensor: AutoGraph would only double
    # the time that tracing takes.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch):
        step = self.optimizer.iterations + self.objective.skipped
        with tf.GradientTape() as tape:
            terms, measures = self.objective(self, batch, step, training=True)
            loss = tf.add_n(list(terms.values()))
            scaled = self.optimizer.scale_loss(loss)
        variables = self.objective.variables(self)
        gradients = self._shared(tape.gradient(scaled, variables))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.objective.skipped.assign(step + 1 - self.optimizer.iterations)
        self._share_statistics(variables)
        self._track_gradients(gradients)
        results = self._track({"loss": loss} | terms | measures, batch)
        norm = {"gradient_norm": self.objective.gradient_norm.result()}
        return results | self._reported(norm)

    @staticmethod
    def _shared(gradients):
        """The gradients of the whole batch, divided by the number of replicas.

        Keras adds up what the replicas give it after it has clipped, and looks for
        infinities, each by itself. Equal parts are clipped alike: see
        `training.make_optimizer`.
        """
        if replicas.count() == 1:
            return gradients
        known = [i for i, g in enumerate(gradients) if g is not None]
        summed = replicas.totals([gradients[i] for i in known])
        for i, gradient in zip(known, summed, strict=True):
            gradients[i] = replicas.share(gradient)
        return gradients

    def _share_statistics(self, trained):
        """Give every replica the mean of their moving statistics."""
        if replicas.count() == 1 or self.objective.stage.freeze_normalization:
            return
        layers = {v.path.rpartition("/")[0] for v in trained}
        statistics = [
            v
            for v in self.non_trainable_variables
            if v.path.rpartition("/")[0] in layers
        ]
        means = replicas.means([tf.convert_to_tensor(v) for v in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, batch):
        return self._track(self.validation_values(batch), batch)

    def validation_values(self, batch):
        """Return loss, terms and measures of a validation batch, float32 scalars."""
        # A fixed step: the same canvases are drawn every time.
        step = tf.constant(0, tf.int64)
        terms, measures = self.objective(self, batch, step, training=False)
        return {"loss": tf.add_n(list(terms.values()))} | terms | measures

    def _track(self, values, batch):
        weight = tf.cast(tf.shape(batch["image"])[0], tf.float32)
        trackers = self.objective.trackers
        values = replicas.totals([values[name] for name in trackers])
        for tracker, value in zip(trackers.values(), values, strict=True):
            tracker.update_state(value, sample_weight=weight)
        return self._reported({name: t.result() for name, t in trackers.items()})

    @staticmethod
    def _reported(results):
        """Numbers of a step as Keras' `fit` wants them."""
        strategy = tf.distribute.get_strategy()
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Over several machines Keras takes the mean along a first axis.
            return {name: value[tf.newaxis] for name, value in results.items()}
        return results

    def _track_gradients(self, gradients):
        """Keep the running mean of the gradients' norm, before any clipping.

        Args:
            gradients: as from `_shared`.
        """
        # Under mixed precision they are scaled, and a step whose gradients overflow is
        # left out by the optimizer: it does not count here either.
        scale = self.optimizer.scale_loss(tf.constant(1.0))
        norm = tf.linalg.global_norm(gradients) * replicas.count() / scale
        finite = tf.math.is_finite(norm)
        tracker = self.objective.gradient_norm
        tracker.update_state(
            tf.where(finite, norm, 0.0), sample_weight=tf.cast(finite, tf.float32)
        )

    # -- serialisation -----------------------------------------------------------------

    def save(self, filepath, overwrite=None, zipped=None, **kwargs):
        """Save as Keras does, or as a SavedModel for serving.

        Args:
            filepath: a name that ends with `.keras` or `.h5` is a file of Keras' own;
                any other is a folder, which becomes a SavedModel: uint8 images of any
                size in, objects out, see docs/export.md.
            overwrite: whether what is there may be replaced; None: a file is, as in
                Keras, a SavedModel is not. A folder of other files never is.
            zipped: as in Keras, for its own files.

        Raises:
            ExportError: the folder has files in it, or cannot be written.
        """
        name = str(filepath)
        if name.endswith((".keras", ".h5", ".hdf5")) or zipped is not None:
            overwrite = True if overwrite is None else overwrite
            return super().save(filepath, overwrite, zipped, **kwargs)
        if kwargs:
            raise ValueError(
                f"A SavedModel is saved without {', '.join(kwargs)}. For a file of "
                f"Keras' own, let the name end with .keras; got {name!r}."
            )
        from keras_recattend import saved_model

        saved_model.write(self, filepath, overwrite=bool(overwrite))
        return None

    def get_config(self):
        return super().get_config() | {"config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        values = config.pop("config")
        if not isinstance(values, Config):
            values = Config.from_dict(values)
        return cls(values, **config)

    def get_compile_config(self):
        # The objective belongs to a training run, not to a saved model.
        return None


def _box_head(config, grid):
    """What turns the feature map into a `Box`."""
    network, patch_size = config.box_network, config.segmentation.patch_size
    glimpses = (network.glimpses, network.lstm_units, network.mlp_units)
    common = {"initializer": config.initializer, "name": "box_head"}
    if network.whole_image:
        return WholeImage(
            config.image_size,
            patch_size,
            grid,
            *glimpses,
            config.segmentation.filters,
            network.patch_gamma,
            network.mask_gamma,
            **common,
        )
    if network.heat_map:
        return HeatMapHead(
            config.image_size,
            grid,
            *glimpses,
            attention_block=network.attention_block,
            **common,
        )
    return LinearHead(
        config.image_size,
        patch_size,
        grid,
        *glimpses,
        network.variance,
        network.patch_gamma,
        network.mask_gamma,
        **common,
    )


def _inputs(inputs):
    if isinstance(inputs, dict):
        return inputs["image"], inputs.get("extra")
    return inputs, None


def _check_images(image, size):
    shape = image.shape
    if shape.rank != 4 or shape[-1] != 3 or tuple(shape[1:3]) != tuple(size):
        raise ValueError(
            f"Images should have shape [batch, {size[0]}, {size[1]}, 3] "
            f"(the config's image_size), got {tuple(shape)}."
        )


def _spread(values, index, batch):
    """Values of some images of a batch at their places, zeros at the others'."""
    shape = tf.concat([[batch], tf.shape(values)[1:]], axis=0)
    return tf.scatter_nd(index[:, tf.newaxis], values, shape)


def _still(active, index, state):
    """Drop the images that have finished from `index` and `state`."""

    def drop():
        kept = tf.where(active)[:, 0]
        return tf.nest.map_structure(lambda x: tf.gather(x, kept), (index, state))

    return tf.cond(tf.reduce_all(active), lambda: (index, state), drop)


def _arrays(shapes, timespan, batch):
    return {
        name: tf.TensorArray(tf.float32, timespan, element_shape=[batch, *shape])
        for name, shape in shapes.items()
    }
