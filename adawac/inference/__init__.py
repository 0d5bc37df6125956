"""From a checkpoint to label volumes."""
