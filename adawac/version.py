"""Which version this is: asked by what writes or reads a checkpoint, which may import no more than that."""

__version__ = "0.1.0"
