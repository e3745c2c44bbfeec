"""From raw files to batches: converters, TFRecords, splits, augmentation, pipeline.

`catalog.prepare` turns a data set into records once, `splits.make_split` divides it,
`pipeline.training_stream` and `pipeline.validation_batches` feed the model, and
`records.examples` gives images and label maps at their original size.
`python -m datasets.convert` does the first step alone; docs/datasets.md has the
layouts of the raw files.

The modules are imported by name (`from datasets.catalog import prepare`), so that
rendering and converting never wait for TensorFlow.
"""
