"""The devices and machines of a training, and what they must agree on."""

import contextlib
import logging

import tensorflow as tf

from keras_recattend.cluster import check_strategy
from keras_recattend.errors import UserError
from keras_recattend.schedules import Clock

__all__ = ["SharedClock", "Workers"]

_LOG = logging.getLogger(__name__)


class Workers:
    """Where a training runs; by default on one device of one machine.

    Machines run the same program. Only the chief writes files and scores; the others
    wait for it at `barrier`, or in the next step.

    Args:
        strategy: a `tf.distribute` strategy, or None.
        cluster: its `Cluster` where it has several machines.

    Attributes:
        replicas: devices of all machines.
        local: devices of this machine. first: number of its first one.
        machines: 1, or those of the cluster.
    """

    def __init__(self, strategy=None, cluster=None):
        self.strategy = strategy
        self.cluster = cluster
        self.replicas = strategy.num_replicas_in_sync if strategy else 1
        self.machines = len(cluster.workers) if cluster else 1
        self.local = self.replicas // self.machines
        self.first = self.local * (cluster.index if cluster else 0)
        if cluster:
            self._add = tf.function(self._sum_of_replicas, autograph=False)

    @classmethod
    def of(cls, name):
        """Return those of `--strategy name` (None = one device).

        For several machines it waits until all of them are there, and must come
        before TensorFlow has done anything else.

        Raises:
            UserError: see `cluster.check_strategy`.
        """
        cluster = check_strategy(name)
        if cluster and len(cluster.workers) > 1:
            _LOG.info(
                "Machine %d of %d; waiting for the others.",
                cluster.index + 1,
                len(cluster.workers),
            )
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            return cls(strategy, cluster)
        if cluster:
            _LOG.info("TF_CONFIG lists one machine: its devices train by themselves.")
        if name is None:
            return cls()
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        if len(devices) == 1:
            _LOG.info(
                "--strategy %s: there is one device, %s. It trains as without it.",
                name,
                devices[0].name,
            )
            return cls()
        names = [device.name for device in devices]
        _LOG.info("%d devices train together: %s.", len(names), ", ".join(names))
        return cls(tf.distribute.MirroredStrategy(names))

    @property
    def is_chief(self):
        return self.cluster is None or self.cluster.is_chief

    @property
    def several_machines(self):
        return self.cluster is not None

    def scope(self):
        """Where variables are made that all devices share."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def check_batches(self, config, names):
        """Raise UserError where a stage's batch cannot be divided by the devices."""
        for name in names:
            size = config.stages[name].batch_size
            if size % self.replicas:
                raise UserError(
                    f"Stage {name} has batches of {size} images, which "
                    f"{self.replicas} devices cannot divide evenly. Use a number of "
                    f"devices that divides {size}, or --batch-size with a multiple of "
                    f"{self.replicas}."
                )

    def distributed(self, make):
        """Return the batches of all devices.

        Args:
            make: `make()` returns this machine's batches of one device each, in the
                order of its devices.
        """
        if self.strategy is None:
            return make()
        return self.strategy.distribute_datasets_from_function(lambda _: make())

    # -- several machines --------------------------------------------------------------

    def sum(self, values):
        """Return the sums of numbers over all machines; every one must call it."""
        if not self.several_machines:
            return list(values)
        sums = self._add(tf.constant(list(values), tf.float64))
        return [float(value) / self.local for value in sums]

    def _sum_of_replicas(self, values):
        def add():
            context = tf.distribute.get_replica_context()
            return context.all_reduce("SUM", tf.identity(values))

        sums = self.strategy.run(add)
        return self.strategy.experimental_local_results(sums)[0]

    def chief_says(self, value):
        """Return the chief's number on every machine."""
        return self.sum([float(value) if self.is_chief else 0.0])[0]

    def barrier(self):
        """Wait until every machine has come here."""
        self.sum([0.0])

    def check_same(self, value, what):
        """Raise UserError on every machine where their numbers differ."""
        total, squares = self.sum([float(value), float(value) ** 2])
        if self.machines * squares != total**2:
            raise UserError(
                f"The machines do not agree on {what}: here it is {value}. They must "
                "share one run folder, and have the same options and data."
            )

    def clock(self, *arguments):
        """Return the `Clock` that all machines go by."""
        if self.several_machines:
            return SharedClock(self, *arguments)
        return Clock(*arguments)


class SharedClock(Clock):
    """A clock that shows on every machine what the chief's shows.

    Between two calls of `agree` it stands still: machines that end a stage at different
    steps would wait for one another for ever.
    """

    def __init__(self, workers, *arguments):
        super().__init__(*arguments)
        self._workers = workers
        self._agreed = 0.0

    @property
    def progress(self):
        return self._agreed

    def agree(self, stop=False):
        own = super().progress if self._workers.is_chief else 0.0
        self._agreed, stops = self._workers.sum([own, float(stop)])
        return stops > 0
