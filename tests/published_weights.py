"""A file in the layout of `R50+ViT-B_16.npz`, of a small network."""

import numpy as np

WIDTH, UNITS, HIDDEN, LAYERS, HEADS, INNER = 4, (2, 1, 1), 12, 2, 3, 20
SMALL = {"width": WIDTH, "units": UNITS, "hidden": HIDDEN, "layers": LAYERS, "heads": HEADS, "inner": INNER}
SMALL |= {"head_channels": 8, "decoder_channels": (8, 4, 4, 4)}


def published(side: int = 4) -> dict[str, np.ndarray]:
    """Names and shapes as `R50+ViT-B_16.npz` has them, of a small network; numbers drawn."""
    shapes: dict[str, tuple[int, ...]] = {"conv_root/kernel": (7, 7, 3, WIDTH), "cls": (1, 1, HIDDEN)}
    shapes |= {"gn_root/scale": (1, 1, 1, WIDTH), "gn_root/bias": (1, 1, 1, WIDTH)}
    entering = WIDTH
    for block, units in enumerate(UNITS, start=1):
        inside, leaving = WIDTH * 2 ** (block - 1), 4 * WIDTH * 2 ** (block - 1)
        for unit in range(1, units + 1):
            convs = {"1": (1, 1, entering, inside), "2": (3, 3, inside, inside), "3": (1, 1, inside, leaving)}
            if unit == 1:
                convs["_proj"] = (1, 1, entering, leaving)
            for name, shape in convs.items():
                shapes[f"block{block}/unit{unit}/conv{name}/kernel"] = shape
                shapes[f"block{block}/unit{unit}/gn{name}/scale"] = (1, 1, 1, shape[-1])
                shapes[f"block{block}/unit{unit}/gn{name}/bias"] = (1, 1, 1, shape[-1])
            entering = leaving
    shapes |= {"embedding/kernel": (1, 1, 16 * WIDTH, HIDDEN), "embedding/bias": (HIDDEN,)}
    shapes["Transformer/posembed_input/pos_embedding"] = (1, side**2 + 1, HIDDEN)
    shapes |= {"Transformer/encoder_norm/scale": (HIDDEN,), "Transformer/encoder_norm/bias": (HIDDEN,)}
    for layer in range(LAYERS):
        root = f"Transformer/encoderblock_{layer}/"
        for name in ("LayerNorm_0", "LayerNorm_2"):
            shapes |= {f"{root}{name}/scale": (HIDDEN,), f"{root}{name}/bias": (HIDDEN,)}
        for name in ("query", "key", "value"):
            shapes[f"{root}MultiHeadDotProductAttention_1/{name}/kernel"] = (HIDDEN, HEADS, HIDDEN // HEADS)
            shapes[f"{root}MultiHeadDotProductAttention_1/{name}/bias"] = (HEADS, HIDDEN // HEADS)
        shapes[f"{root}MultiHeadDotProductAttention_1/out/kernel"] = (HEADS, HIDDEN // HEADS, HIDDEN)
        shapes[f"{root}MultiHeadDotProductAttention_1/out/bias"] = (HIDDEN,)
        shapes |= {f"{root}MlpBlock_3/Dense_0/kernel": (HIDDEN, INNER), f"{root}MlpBlock_3/Dense_0/bias": (INNER,)}
        shapes |= {f"{root}MlpBlock_3/Dense_1/kernel": (INNER, HIDDEN), f"{root}MlpBlock_3/Dense_1/bias": (HIDDEN,)}
    shapes |= {"pre_logits/kernel": (HIDDEN, HIDDEN), "head/kernel": (HIDDEN, 7)}
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
