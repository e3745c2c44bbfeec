"""What a training reads of a data set: batches of one split, images of the other."""

from collections.abc import Sequence
from functools import partial

from datasets import pipeline, records
from datasets.manifest import Manifest
from datasets.pipeline import WHOLE
from datasets.samples import Samples
from datasets.splits import Split, evenly_chosen
from keras_recattend.config import Config
from keras_recattend.map_cache import Unchanged

__all__ = ["Examples", "Feed"]


class Examples:
    """Images of some records at their original size, read anew at every pass.

    Hundreds of photographs would fill the memory for a whole training.

    Args:
        manifest: of the records. ids: their names.
    """

    def __init__(self, manifest: Manifest, ids: Sequence[str]):
        self._manifest = manifest
        self._ids = ids

    def __len__(self):
        return len(self._ids)

    def __iter__(self):
        return records.examples(self._manifest, self._ids)


class Feed:
    """Batches and examples of some records, as a `Config` wants them.

    Args:
        manifest: of the records.
        split: names of the images that train and validate.
        config: its sizes, augmentation, and whether it has a pre-processing network,
            whose kept maps are warped with the images; where samples are not
            one image each, none are kept.
        rendered: records of the plants that `augmentation.rendered` mixes in, or None.
        most_validating: validation images that are read, evenly chosen; 0 = all.

    Attributes:
        examples: these validation images at their original size, `Examples`.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: Split,
        config: Config,
        rendered: Manifest | None = None,
        most_validating: int = 0,
    ):
        self._manifest = manifest
        self._rendered = rendered
        validating = evenly_chosen(split["val"], most_validating)
        self._split = {"train": split["train"], "val": validating}
        self._augmentation = config.augmentation
        self._sizes = (config.image_size, config.max_instances)
        self._with_places = config.preprocessor is not None
        self._samples = {}
        self.examples = Examples(manifest, validating)

    def stream(self, batch_size: int, start: int, seed: int, share=WHOLE):
        """Return endless training batches from sample `start` on.

        Args:
            share: the devices whose rows of each batch are read, see `pipeline`.
        """
        return pipeline.training_stream(
            self._manifest,
            self._split["train"],
            *self._sizes,
            self._augmentation,
            batch_size,
            seed=seed,
            start=start,
            share=share,
            with_places=self._with_places and not self._augmentation.leaves_the_image,
            rendered=self._rendered,
            samples_of=self._samples_of,
        )

    def unchanged(self, name: str, batch_size: int):
        """Return the images of split `name` once, changed in size alone."""
        return pipeline.validation_batches(
            self._manifest,
            self._split[name],
            *self._sizes,
            batch_size,
            with_places=self._with_places,
            samples_of=self._samples_of,
        )

    def _samples_of(self, manifest, ids, image_size, cache=None):
        """The `Samples`, read once for all stages: that may take minutes."""
        key = manifest.directory, tuple(ids)
        if key not in self._samples:
            self._samples[key] = Samples(manifest, ids, image_size, cache)
        return self._samples[key]

    def validation(self, batch_size: int):
        """Return finite validation batches; None where no image validates."""
        return self.unchanged("val", batch_size) if self._split["val"] else None

    @property
    def splits(self) -> list[Unchanged]:
        """Both splits as `MapCache` reads them: training, then validation."""
        return [
            Unchanged(len(self._split[name]), partial(self.unchanged, name))
            for name in ("train", "val")
        ]
