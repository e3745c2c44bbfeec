"""Run a command line as if the processor were several devices, to try --strategy.

    python docs/examples/several_devices.py 2 train.py --strategy mirrored --max-steps 4

They share the cores: nothing gets faster. With several GPUs nobody needs this.
"""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    _, count, script, *arguments = sys.argv
    sys.path[0] = str(ROOT)
    from keras_recattend.command_line import quiet_tensorflow

    quiet_tensorflow(start=False)
    import tensorflow as tf

    # TensorFlow must be told before it has computed anything.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * int(count),
    )
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
