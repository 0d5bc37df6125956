"""`torch.compile` for a network, with a way back where it fails."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adawac.structures import NetworkOutput

log = logging.getLogger(__name__)


class CompiledNetwork:
    """Calls a network compiled; as it is from the moment on when compiling fails, and says why.

    Parameters, buffers and their names stay the network's own: nothing is wrapped, checkpoints do not change.

    Args:
        network: images in, `adawac.structures.NetworkOutput` out.
        options: of `torch.compile`.

    Example:
        >>> from adawac.networks import NetworkSpec
        >>> network = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]}).build(1, 3)
        >>> CompiledNetwork(network, backend="eager")(torch.zeros(2, 1, 16, 16)).logits.shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, network: nn.Module, **options: Any) -> None:
        self._network = network
        self._compiled: Callable[[Tensor], NetworkOutput] | None = torch.compile(network, **options)

    def __call__(self, image: Tensor) -> NetworkOutput:
        """Run the network; what it does wrong itself, it does uncompiled as well, and raises."""
        if self._compiled is not None:
            try:
                return self._compiled(image)
            except Exception as error:  # of a compiler, of its backend, of the C++ compiler that is not there ...
                output: NetworkOutput = self._network(image)  # or the network's own, which is raised from here
                self._compiled = None
                log.warning("model.compile: %s; training goes on uncompiled", reason(error))
                return output
        return self._network(image)  # type: ignore[no-any-return]


def reason(error: BaseException) -> str:
    """One line on why compiling failed, with a remedy where it is the missing C++ compiler."""
    text = " ".join(str(error).split())
    if "InvalidCxxCompiler" in type(error).__name__ or "InvalidCxxCompiler" in text:
        return "there is no C++ compiler, which torch.compile needs on a CPU (install g++, or name one in CXX)"
    return f"the network cannot be compiled ({type(error).__name__}: {text[:300]})"
