"""`torch.compile` for parts of a training step: layers that it can fuse, and a way back where it fails."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from adawac.errors import one_line

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """Calls a function compiled; as it is from the moment on when compiling fails, and says why.

    Parameters, buffers and their names stay the function's own: nothing is wrapped, checkpoints do not change.

    Args:
        function: a network, or a function of tensors.
        name: what a warning calls it.
        options: of `torch.compile`.

    Example:
        >>> from adawac.networks import NetworkSpec
        >>> network = NetworkSpec("monai.networks.nets.UNet", {"channels": [4, 8], "strides": [2]}).build(1, 3)
        >>> Compiled(network, "the network", backend="eager")(torch.zeros(2, 1, 16, 16)).logits.shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, function: Callable[P, R], name: str, **options: Any) -> None:
        self._function = function
        self._name = name
        # Batches of an epoch differ by one sample: two sizes are compiled in half the time of one that may change.
        self._compiled: Callable[P, R] | None = torch.compile(function, dynamic=False, **options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function; what it does wrong itself, it does uncompiled as well, and raises."""
        if self._compiled is not None:
            try:
                with _FusibleLayers():
                    return self._compiled(*args, **kwargs)
            except Exception as error:  # of a compiler, of its backend, of the C++ compiler that is not there ...
                output = self._function(*args, **kwargs)  # or the function's own, which is raised from here
                self._compiled = None
                log.warning("model.compile: %s; training goes on with it uncompiled", self._reason(error))
                return output
        return self._function(*args, **kwargs)

    def _reason(self, error: BaseException) -> str:
        """One line on why compiling failed, with a remedy where it is the missing C++ compiler."""
        text = one_line(error)
        if "InvalidCxxCompiler" in type(error).__name__ or "InvalidCxxCompiler" in text:
            return (
                f"{self._name}: there is no C++ compiler, which torch.compile needs on a CPU (install g++, or name one "
                "in CXX)"
            )
        return f"{self._name} cannot be compiled ({type(error).__name__}: {text[:300]})"


class _FusibleLayers(TorchFunctionMode):
    """Spells layers out for the compiler, which then fuses them with what comes before and after.

    - Instance norms: torch lends them batch norm's kernel, on a view of all channels of all images as one image, and
      that a compiler does not see through: it takes twice as long as if it had left them alone.
    - Biases of transposed convolutions: their gradient, a sum over all pixels, takes longer on a CPU in bfloat16 than
      the rest of such a layer's gradient. Fused, it costs next to nothing.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function = func
        if func is F.instance_norm:
            function = _instance_norm
        elif func in (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d):
            function = partial(_conv_transpose, func)
        return function(*args, **(kwargs or {}))


def _conv_transpose(
    function: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """A transposed convolution, its bias added afterwards."""
    output = function(input, weight, None, *args, **kwargs)
    return output if bias is None else output + bias.to(output.dtype).view(-1, *[1] * (weight.ndim - 2))


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.instance_norm`, in float32 inside; what keeps running statistics is torch's own."""
    if running_mean is not None:
        return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    values = input.float()
    space = tuple(range(2, input.ndim))
    variance, mean = torch.var_mean(values, dim=space, correction=0, keepdim=True)
    values = (values - mean) * (variance + eps).rsqrt()
    if weight is not None:
        values = values * weight.view(-1, *[1] * len(space))
    if bias is not None:
        values = values + bias.view(-1, *[1] * len(space))
    return values.to(input.dtype)
