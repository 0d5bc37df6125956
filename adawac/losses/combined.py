"""Several consistency losses as one."""

from torch import Tensor, nn

from adawac.errors import ConfigError
from adawac.losses.consistency_loss import ConsistencyLoss
from adawac.types import NetworkOutput


class CombinedConsistency(ConsistencyLoss):
    """Sum of consistency losses, each with its own lambda_ac.

    Args:
        losses: at least one.
        lambda_ac: factor on the sum, positive.

    Raises:
        ConfigError: if there are no losses.

    Example:
        >>> from adawac.losses import FeatureConsistency, RelationalConsistency
        >>> both = CombinedConsistency([FeatureConsistency(), RelationalConsistency(lambda_ac=0.1)])
    """

    def __init__(self, losses: list[ConsistencyLoss], lambda_ac: float = 1.0) -> None:
        super().__init__(lambda_ac)
        if not losses:
            raise ConfigError("CombinedConsistency: no losses; give at least one, or use Pair or ERM without any")
        self.losses = nn.ModuleList(losses)

    def compare(self, first: NetworkOutput, second: NetworkOutput, affine_1: Tensor, affine_2: Tensor) -> Tensor:
        """Sum of the losses, (B,)."""
        total = first.logits.new_zeros(len(first.logits)).float()
        for loss in self.losses:
            total = total + loss(first, second, affine_1, affine_2)
        return total
