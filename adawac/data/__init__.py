"""From folders on disk to batches: volumes, layouts, classes, splits, units, store and datamodule."""
