"""What a training leaves behind: the run's folder, its checkpoints and records."""
