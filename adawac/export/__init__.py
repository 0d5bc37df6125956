"""A trained model in the formats of others: TorchScript, ONNX, a MONAI bundle."""

from adawac.export.bundle import write_bundle
from adawac.export.network import load_network
from adawac.export.onnx_file import write_onnx
from adawac.export.torchscript import write_torchscript

__all__ = ["load_network", "write_bundle", "write_onnx", "write_torchscript"]
