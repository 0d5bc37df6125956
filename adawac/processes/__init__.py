"""Several processes as one: those of a training, and tasks on the machines of a cluster."""
