"""Power over time: from pieces of constant power to samples, ramps, spectrum and the storage that smooths them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

SAMPLE_S = 0.01
RECORD_S = 20.0
BAND_HZ = (0.1, 20.0)  # what utilities limit in the frequency domain (arXiv 2508.14318)
RAMP_S = 1.0
SAMPLES_MAX = 1_000_000
SHOWN = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Samples of a periodic load, each the mean over its stretch, so that no energy is lost between them."""

    sample_s: float
    power_w: Series

    @property
    def mean_w(self) -> float:
        """Energy over time."""
        return float(np.mean(self.power_w))


@dataclass(frozen=True, slots=True, kw_only=True)
class Swings:
    """What a supply sees of a load that is not even.

    `ramp_w_per_s`: the largest change within a second. `band_w`: root mean square between 0.1 and 20 Hz; `peak_hz` and
    `peak_w`: its strongest line, as an amplitude. `storage_j`: what a store must hold to keep the supply at the mean.
    `shape_w` are means over `shape_s` each, for a drawing.
    """

    mean_w: float
    least_w: float
    most_w: float
    ramp_w_per_s: float
    band_w: float
    peak_hz: float
    peak_w: float
    storage_j: float
    shape_s: float
    shape_w: tuple[float, ...]


def sampled(start_s: Series, end_s: Series, power_w: Series, base_w: float, period_s: float) -> Trace:
    """Return the samples of a period: a base, and pieces of further power from start to end, repeated to 20 s.

    Pieces may overlap; each sample is exact, the difference of the running energy over its stretch.
    """
    edges = np.concatenate((start_s, end_s))
    steps = np.concatenate((power_w, -power_w))
    order = np.argsort(edges, kind="stable")
    times = np.concatenate(([0.0], edges[order], [period_s]))
    level = np.concatenate(([0.0], np.cumsum(steps[order])))
    energy = np.concatenate(([0.0], np.cumsum(level * np.diff(times))))
    repeats = max(1, int(np.ceil(RECORD_S / period_s)))
    count = max(8, min(round(repeats * period_s / SAMPLE_S), SAMPLES_MAX))
    step = repeats * period_s / count
    cuts = np.arange(count + 1) * step
    whole, rest = np.divmod(cuts, period_s)
    running = whole * energy[-1] + np.interp(rest, times, energy)
    running[-1] = repeats * energy[-1]
    return Trace(sample_s=step, power_w=base_w + np.diff(running) / step)


def swings(trace: Trace) -> Swings:
    """Return ramps, spectrum and storage of a periodic load.

    Storage = range of the running integral of P - mean; for a square wave of depth dP with troughs of t at a duty d it
    is dP t d, the energy that holds the mean through a trough. Spectrum by FFT of the samples.
    """
    power, step = trace.power_w, trace.sample_s
    mean = trace.mean_w
    lines = np.fft.rfft(power - mean) / len(power)
    hertz = np.fft.rfftfreq(len(power), step)
    inside = (hertz >= BAND_HZ[0] * (1.0 - 1e-9)) & (hertz <= BAND_HZ[1])
    amplitude = 2.0 * np.abs(lines) * inside
    top = int(np.argmax(amplitude))
    running = np.cumsum(power - mean) * step
    width = max(1, round(RAMP_S / step))
    window = np.concatenate((power, power[:width]))
    ramp = 0.0
    if width < len(power):
        views = np.lib.stride_tricks.sliding_window_view(window, width + 1)
        ramp = float(np.max(np.max(views, axis=1) - np.min(views, axis=1)))
    else:
        ramp = float(np.max(power) - np.min(power))
    each = max(1, len(power) // SHOWN)
    kept = power[: len(power) // each * each].reshape(-1, each).mean(axis=1)
    return Swings(
        mean_w=mean,
        least_w=float(np.min(power)),
        most_w=float(np.max(power)),
        ramp_w_per_s=ramp / RAMP_S,
        band_w=float(np.sqrt(np.sum((amplitude**2) / 2.0))),
        peak_hz=float(hertz[top]),
        peak_w=float(amplitude[top]),
        storage_j=float(np.max(running) - np.min(running)),
        shape_s=each * step,
        shape_w=tuple(kept.tolist()),
    )
