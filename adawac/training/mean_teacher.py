"""A mean teacher: an average of the network says what it sees in samples that nobody annotated."""

import copy

import torch
from torch import Tensor, nn

from adawac.augment.randomness import Source, Stream
from adawac.errors import ConfigError
from adawac.networks import SegmentationNetwork
from adawac.types import IGNORE_INDEX, unlabelled


class MeanTeacher(nn.Module):
    """Labels samples that have no label, as far as it is sure, before views of them are drawn.

    The teacher looks at a sample as it lies (the weak view). What it says is then augmented like any label, so that the
    network must say of the views, which may be strong (`StrongAugmentation`), what the teacher says of the sample:
    consistency of predictions, in the frame of the views, also where CutMix has put samples together. It costs a
    forward pass of the unlabelled samples beside a step of plain training.

    Args:
        decay: share of the average that stays at a step, 0 to below 1; less in the first steps.
        confidence: probability of a class from which on a pixel gets it as its label, 0 to 1; others get none.
        ramp: share of the training over which the teaching grows: of the unlabelled samples of a batch none are taught
            at first, then more and more, drawn at random, and all from there on. 0: all from the start.

    Raises:
        ConfigError: if one of them is out of its range.

    References:
        Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017 (the average); Sohn et al., "FixMatch",
        NeurIPS 2020 (labels of a weak view where it is sure, learnt from a strong one).
    """

    network: SegmentationNetwork
    steps: Tensor
    progress: Tensor

    def __init__(self, decay: float = 0.99, confidence: float = 0.9, ramp: float = 0.3) -> None:
        super().__init__()
        if not (0 <= decay < 1 and 0 <= confidence <= 1 and 0 <= ramp <= 1):
            raise ConfigError(
                f"MeanTeacher: decay is {decay}, confidence {confidence}, ramp {ramp}; give a decay below 1, and "
                "shares from 0 to 1"
            )
        self.decay = decay
        self.confidence = confidence
        self.ramp = ramp
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def begin(self, network: SegmentationNetwork) -> None:
        """Start as a copy of the network."""
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: SegmentationNetwork, progress: float) -> None:
        """Move towards the network as it is before a step; running statistics are those of the network.

        Args:
            network: that learns.
            progress: share of the training that is done.
        """
        self.progress.fill_(progress)
        self.steps += 1
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)  # a tensor: the host need not wait for it
        mine, theirs = list[Tensor](self.network.parameters()), list[Tensor](network.parameters())
        torch._foreach_add_(mine, torch._foreach_mul(torch._foreach_sub(theirs, mine), 1 - decay))
        for own, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(buffer)

    @torch.no_grad()
    def label(self, image: Tensor, label: Tensor, source: Source) -> Tensor:
        """Labels of a batch, with the teacher's for samples that have none.

        Args:
            image: (B, C, H, W), or (B, C, D, H, W), as it lies.
            label: (B, H, W), or (B, D, H, W), of which a sample without label is `IGNORE_INDEX` everywhere.
            source: of one view; decides who is taught.

        Returns:
            Labels of the same shape and type.
        """
        gate = source.uniform(Stream.TEACH, 1)[:, 0]
        taught = unlabelled(label) & (gate * self.ramp <= self.progress)
        rows = taught.nonzero()[:, 0]
        if len(rows) == 0:
            return label
        probability, best = self.network.eval()(image[rows]).logits.float().softmax(1).max(1)
        filled = label.clone()
        filled[rows] = torch.where(probability >= self.confidence, best, IGNORE_INDEX).to(label.dtype)
        return filled
