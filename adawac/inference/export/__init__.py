"""A trained model in the formats of others: TorchScript, ONNX, a MONAI bundle."""

from adawac.inference.export.bundle import write_bundle
from adawac.inference.export.network import load_network
from adawac.inference.export.onnx_file import write_onnx
from adawac.inference.export.torchscript import write_torchscript

__all__ = ["load_network", "write_bundle", "write_onnx", "write_torchscript"]
