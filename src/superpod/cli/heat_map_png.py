"""Heat maps as PNG, drawn by matplotlib (the extra `plot`)."""

import io
from collections.abc import Sequence

from superpod.cli import page
from superpod.cli.charts import RAMP, UNUSED
from superpod.errors import SuperpodError

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
except ImportError:
    raise SuperpodError(
        "a PNG needs matplotlib, which is not installed",
        where="--heat-map",
        hint="pip install 'superpod[plot]', or name a .svg or .html file",
    ) from None

WIDTH_INCH = 11.0
ROW_INCH = 0.28
HEAD_INCH = 1.1
MATRIX_INCH = 5.5


def picture(title: str, blocks: Sequence[page.HeatMap | page.Matrix]) -> bytes:
    """Return maps below each other as one PNG."""
    sizes = [
        MATRIX_INCH if isinstance(block, page.Matrix) else HEAD_INCH + ROW_INCH * len(block.rows) for block in blocks
    ]
    ramp = LinearSegmentedColormap.from_list("superpod", list(RAMP)).with_extremes(under=UNUSED)
    figure = Figure(figsize=(WIDTH_INCH, sum(sizes) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    rows = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=sizes)
    for block, (axes,) in zip(blocks, rows, strict=True):
        axes.set_title(block.title, loc="left", fontsize=10)
        if isinstance(block, page.Matrix):
            shown = axes.imshow(block.cells, cmap=ramp, vmin=1e-9, vmax=1.0, interpolation="nearest")
            axes.set_xlabel("to rank, neighbours together")
            axes.set_ylabel("from rank")
            figure.colorbar(shown, ax=axes, label=f"share of {block.most_text}")
            continue
        wide = max(len(row.cells) for row in block.rows)
        for number, row in enumerate(block.rows):
            extent = (0.0, float(wide), number + 0.45, number - 0.45)
            shown = axes.imshow(
                [row.cells], cmap=ramp, vmin=1e-9, vmax=1.0, aspect="auto", interpolation="nearest", extent=extent
            )
            said = f"  {row.least_text} / {row.middle_text} / {row.most_text}"
            axes.text(wide, number, said, va="center", fontsize=8)
        axes.set_xlim(0.0, wide)
        axes.set_ylim(len(block.rows) - 0.5, -0.5)
        axes.set_yticks(range(len(block.rows)), [row.label for row in block.rows], fontsize=8)
        axes.set_xticks([])
        axes.set_xlabel("links by place; least / median / most at the right", fontsize=8)
        figure.colorbar(shown, ax=axes, pad=0.14, label="used")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    return stream.getvalue()
