"""A series model as other runtimes get it: a module from the units of the data to the units of the data."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from hiddenstate.models.series.module_form import ModuleForm, forecast_in, random_numbers, weight_of


class ExportedSeries(NamedTuple):
    """A module, an example of its arguments, and how the file names them; see `hiddenstate.export_onnx`."""

    module: nn.Module
    args: tuple[Tensor]
    dynamic_shapes: tuple[dict[int, str]]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    metadata: Mapping[str, str]


class _InUnits(nn.Module):
    """Calls a model's module, with its axes, in the units of the data."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.module: nn.Module = model.module
        self.form: ModuleForm = model.form
        like = weight_of(model.module)
        for name, scale in (("read", model.scale), ("given", model.target_scale)):
            self.register_buffer(f"{name}_offset", scale.offset.to(like))
            self.register_buffer(f"{name}_factor", scale.factor.to(like))

    def forward(self, series: Tensor) -> Tensor:
        """Return the forecasts in the form in which the module returns them."""
        buffers: dict[str, Any] = dict(self.named_buffers(recurse=False))
        out = forecast_in(self.module((series - buffers["read_offset"]) / buffers["read_factor"]))
        size = [1] * out.dim()
        if self.form.has_targets_axis:
            size[self.form.axes[-1]] = -1
        return buffers["given_offset"].view(size) + buffers["given_factor"].view(size) * out


def exported(model: Any) -> ExportedSeries:
    """Return a series model as a module; a file of it has the sizes and the names of the model's columns."""
    time, rows = (0, 1) if model.time_first else (1, 0)
    x = random_numbers(model.module, model.window or 9, 3, len(model.features)).double().cpu()
    series = model.scale.in_units(x).to(weight_of(model.module))
    about = {
        "features": model.features,
        "targets": model.targets,
        "units": dict(model.units),
        "gives": model.gives,
        "ahead": [*model.form.ahead],
        "window": model.window,
    }
    axes = {rows: "N"} if model.window else {time: "T", rows: "N"}
    return ExportedSeries(
        _InUnits(model).eval(),
        (series if model.time_first else series.transpose(0, 1).contiguous(),),
        ({axis: axes[axis] for axis in sorted(axes)},),
        ("series",),
        ("forecast",),
        {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()},
    )
