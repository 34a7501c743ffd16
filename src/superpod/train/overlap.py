"""Transfers beside kernels: what stays exposed, and what the engines that drive them take from the kernels."""

import numpy as np

from superpod.result import Num


def exposed(transfer_s: Num, kernels_s: Num, tax_frac: Num) -> Num:
    """Return what a transfer adds to the kernels it runs beside: max(C, K + tax x min(C, K)) - K.

    While both run, the kernels lose a share to the engines that drive the transfer (`tax_frac` of the tier's transport:
    processors for a library that copies with them, none for copy engines and switches). Never less than the longer of
    the two takes. Composite of Calculon (doi:10.1145/3581784.3607102) and Galvatron (arXiv 2211.13878, section 3.4).
    """
    slowed = kernels_s + tax_frac * np.minimum(transfer_s, kernels_s)
    return np.maximum(transfer_s, slowed) - kernels_s


def pipelined(transfer_s: Num, kernels_s: Num, tax_frac: Num, steps_count: Num) -> Num:
    """Return what a transfer adds that is cut in n steps, each beside the kernels of the step before or after.

    One step has nothing to run beside: C / n + exposed(C (n - 1) / n, K (n - 1) / n).
    """
    inner = (steps_count - 1.0) / steps_count
    return transfer_s / steps_count + exposed(transfer_s * inner, kernels_s * inner, tax_frac)
