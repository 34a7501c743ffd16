"""PyTorch and its Ascend adapter, where they are installed (the extra `measure`): the one place that imports them."""

from superpod.errors import MeasurementError

__all__ = ["require_torch", "torch", "torch_npu"]

try:
    import torch
    import torch.distributed
    import torch.nn.attention
except ImportError:
    torch = None
try:
    import torch_npu
except ImportError:
    torch_npu = None


def require_torch() -> None:
    """Raise MeasurementError where PyTorch is not installed."""
    if torch is None:
        raise MeasurementError(
            "measuring needs PyTorch, which is not installed",
            where="superpod measure",
            hint="install the torch that fits your driver, or: pip install 'superpod[measure]'",
        )
