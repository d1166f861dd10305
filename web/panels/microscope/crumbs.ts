// The microscope's breadcrumbs: model, layer and direction, unit, gate. Each is a button that goes there.

import type { TrackInfo, View } from "studio/types.js";
import { element } from "studio/ui/draw.js";

export function crumbs(go: (patch: Partial<View>) => void) {
  const places = {
    model: crumb("model", go),
    layer: crumb("layer", go),
    unit: crumb("unit", go),
    gate: crumb("gate", go),
  };
  const unit = element("input", { type: "number", class: "number hs-unit", min: 0, step: 1, "aria-label": "Unit" });
  unit.addEventListener("change", () => {
    if (unit.checkValidity() && unit.value !== "") go({ unit: Number(unit.value) });
  });
  const root = element("nav", { class: "hs-crumbs", "aria-label": "Zoom" }, [
    ...Object.values(places).flatMap((place, k) =>
      k ? [element("span", { class: "soft", text: "›", "aria-hidden": "true" }), place] : [place],
    ),
    element("label", { class: "field hs-choose", text: "unit" }, [unit]),
  ]);
  const update = (info: TrackInfo, view: View) => {
    unit.max = String(info.units - 1);
    if (document.activeElement !== unit || Number(unit.value) !== view.unit) unit.value = String(view.unit);
    const words = { model: "model", layer: info.name, unit: `unit ${view.unit}`, gate: `gate ${view.gate}` };
    for (const name of Object.keys(places) as View["zoom"][]) {
      places[name].textContent = words[name];
      if (name === view.zoom) places[name].setAttribute("aria-current", "location");
      else places[name].removeAttribute("aria-current");
    }
  };
  return { root, update };
}

function crumb(zoom: View["zoom"], go: (patch: Partial<View>) => void): HTMLButtonElement {
  return element("button", {
    type: "button",
    class: "quiet hs-crumb",
    "data-zoom": zoom,
    on: { click: () => go({ zoom }) },
  });
}
