"""RecurrentAttention: the whole model, one object a step."""

import typing

import keras
import tensorflow as tf

from keras_recattend import assembly
from keras_recattend.config import Config
from keras_recattend.inference import infer
from keras_recattend.layers import Canvas, GaussianFilters, Scoring
from keras_recattend.layers.gaussian import BETA, extract, reproject
from keras_recattend.objective_model import ObjectiveModel
from keras_recattend.preprocessor import Maps, PreprocessingNetwork
from keras_recattend.refinement import around_mask
from keras_recattend.unrolling import unroll

__all__ = ["Prepared", "RecurrentAttention", "Segment"]


class Prepared(typing.NamedTuple):
    """What is computed once an image: see `RecurrentAttention.prepare`.

    Attributes:
        image: [B, H, W, 3]. extra: [B, H, W, E] or None.
        features: the controller's [B, ...], or None where nothing looks for boxes.
        pools: the controller's pooling factors, where they are not its own.
    """

    image: tf.Tensor
    extra: tf.Tensor | None
    features: tf.Tensor | None
    pools: tuple = ()

    def repeat(self, times):
        """Repeat the features for `times` canvases an image; the image stays."""
        if times == 1:
            return self
        return self._replace(features=tf.repeat(self.features, times, axis=0))

    def of(self, rows):
        """What belongs to some images of the batch: int [N], their numbers."""
        values = (self.image, self.extra, self.features)
        return Prepared(
            *tf.nest.map_structure(
                lambda x: None if x is None else tf.gather(x, rows), values
            ),
            self.pools,
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
class RecurrentAttention(ObjectiveModel):
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
        A dict: "masks" [B, T, H, W], "scores" [B, T], "boxes" [B, T, 4] (y0, x0, y1,
        x1 of the patch in pixels), "patches" [B, T, h, w], "count" int32 [B]; with a
        pre-processing network "foreground" [B, H, W] and, where it has classes,
        "semantic" [B, H, W, K], probabilities.

        "count" is the number of steps with a score of at least `score_threshold`.
        Where the config's `inference.stop` is on, an image ends at its first lower
        score, and that step and all later ones are zero. Where it is off (the presets
        named `*_paper`), all T steps are as they were drawn, those of low scores, too:
        the objects are the steps that "count" counts, wherever they are.

    Example:
        >>> model = RecurrentAttention(presets.get("leaves"))
        >>> model(tf.zeros([1, 224, 224, 3]))["count"].shape
        TensorShape([1])
    """

    def __init__(self, config, **kwargs):
        # Images stay float32 under mixed precision; the convolutions cast them.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        # On GPUs TensorFlow rounds the factors of float32 products to 10 bits unless
        # told otherwise. Pixels are multiplied here: from 1,024 on, that is whole ones.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.config = config
        self.grid = tuple(
            extent // config.box_network.stride for extent in config.image_size
        )
        self.preprocessor = None
        if config.preprocessor is not None:
            self.preprocessor = PreprocessingNetwork.of_config(
                config, name="preprocessor", dtype=self.dtype_policy
            )
        self.controller = assembly.controller(config, self.dtype_policy)
        self.box_head = assembly.box_head(config, self.grid)
        self.filters = GaussianFilters(
            config.image_size,
            config.segmentation.patch_size,
            config.segmentation.filters,
        )
        self.segmentation = assembly.segmentation(config, self.dtype_policy)
        self.canvas = Canvas(name="canvas")
        self.scoring = Scoring(
            self.box_head.state_size,
            config.segmentation.features_size,
            config.initializer,
            name="scoring",
        )
        # With a shape, without which Keras does not export.
        self.build((None, *config.image_size, 3))

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
        # Keras hands on the outer call's `training` where none is given.
        maps = self.preprocessor(image, training=False)
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

    def look(
        self, prepared, canvas, step=0, training=False, blocked=None, centers=None
    ):
        """Return the `Box` of the next object for canvases [N, H, W] (eq. 3-10).

        Args:
            blocked: [N, P], 1 for cells that must not be chosen, or None.
            centers: [N, P], see `no_centers`; None without a centre map.
        """
        options = {"pools": prepared.pools} if prepared.pools else {}
        if centers is not None:
            options["centers"] = centers
        u = self.controller(
            prepared.features, canvas, step=step, training=training, **options
        )
        return self.box_head(
            u, sharpness=self.config.box_network.sharpness, blocked=blocked
        )

    def segment(self, prepared, canvas, box, center, size, step=0, training=False):
        """Cut the box, segment it, and paste the mask back (eq. 11-19).

        Args:
            canvas: [N, H, W]. box: the `Box`, for its variance and gammas. Normalised
                filters have none of them: None will do.
            center, size: [N, 2] pixels, what to cut: the box's own or the truth.
        """
        variance = gamma = None
        if not self.is_normalized:
            variance, gamma = box.log_variance, box.log_gamma_patch
        read, write = self.filters(center, size, variance)
        patch = self.cut(prepared.image, canvas, prepared.extra, read, gamma)
        result = self.segmentation(patch, step=step, training=training)
        if self.is_normalized:
            mask = reproject(tf.sigmoid(result.heat), *write)
        else:
            gamma = tf.exp(box.log_gamma_mask)[:, tf.newaxis, tf.newaxis]
            mask = tf.sigmoid(gamma * reproject(result.heat, *write) - BETA)
        return Segment(center, size, patch, result.heat, result.features, mask)

    def cut(self, image, canvas, extra, read, log_gamma=None):
        """Return the patches [N, h, w, C] of image and canvas to segment (eq. 15-16).

        Args:
            image: [B, H, W, 3]. canvas: [N, H, W]. extra: [B, H, W, E] or None.
            read: the filters of N patches, as many of each image.
            log_gamma: of density filters, [N] or one number; None = no factor.
        """
        parts = [extract(image, *read), extract(canvas[..., tf.newaxis], *read)]
        if extra is not None:
            parts.append(extract(extra, *read))
        patch = tf.concat(parts, axis=-1)
        if log_gamma is None:
            return patch
        return patch * tf.exp(tf.reshape(log_gamma, [-1, 1, 1, 1]))

    def pasted(self, patch, center, size):
        """Return the mask [N, H, W] of a patch [N, h, w], pasted by normalised filters.

        Args:
            center, size: [N, 2] pixels, what the patch shows.
        """
        _, write = self.filters(center, size)
        return reproject(patch, *write)

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
        settings = self.config.segmentation
        return around_mask(segment, settings.patch_size, settings.padding, growth)

    def find(
        self, prepared, canvas, step=0, blocked=None, inference=None, centers=None
    ):
        """Look and segment as in inference: (box, segment, score [N])."""
        settings = inference or self.config.inference
        box = self.look(prepared, canvas, step=step, blocked=blocked, centers=centers)
        segment = self.segment(prepared, canvas, box, *self.patch_box(box), step=step)
        for _ in range(settings.refinements):
            center, size = self.around_mask(segment, settings.growth)
            segment = self.segment(prepared, canvas, box, center, size, step=step)
        return box, segment, tf.sigmoid(self.scoring(box.state, segment.features))

    def no_centers(self, batch):
        """Return the centre map before the first step, [N, P].

        It goes with the canvas, where the config wants one: a blob for each object
        found so far.
        """
        return tf.zeros([batch, self.grid[0] * self.grid[1]])

    def mark(self, centers, segment):
        """Return the centre map with what a step has found.

        The centre is that of the box round the mask's cells above 1/2. Where there are
        none, nothing is marked.
        """
        center, size = self.around_mask(segment)
        blob = self.box_head.blobs(center, size / self.config.segmentation.padding)
        found = tf.reduce_any(segment.heat > 0.0, axis=[1, 2])
        found = tf.cast(found, tf.float32)[:, tf.newaxis]
        return tf.maximum(centers, tf.stop_gradient(found * blob))

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
            with_attention: also return "attention" [B, T, G, P], with a heat map
                "heat" [B, T, P], its probabilities, and with a pre-processing network
                "angles" [B, H, W, 8], its probabilities.

        Returns:
            See the class. "steps" is the number of steps that were run.
        """
        return infer(self, image, extra, stop, inference, with_masks, with_attention)

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

    # -- serialisation -----------------------------------------------------------------

    def save(self, filepath, overwrite=None, zipped=None, **kwargs):
        """Save as Keras does, or as a SavedModel for serving.

        Args:
            filepath: a name that ends with `.keras` is a file of Keras' own (so is one
                of `.h5`, which `load_model` reads with custom_objects alone);
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


def _inputs(inputs):
    if isinstance(inputs, dict):
        return inputs["image"], inputs.get("extra")
    return inputs, None
