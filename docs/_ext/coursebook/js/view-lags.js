// What a forecaster reads in 30 days, and what each number of them adds to its forecast: the studio's drawings.

course.view("lags", ({ root, model, runtime, change }) => {
  const { make, controls } = course;
  const { steps, window: size, tokens, truth } = model.series;
  const day = controls.slider("the last day that is read", { min: size, max: steps - 1, value: size, written: (k) => tokens[k - 1] }, (value) => change({ day: value }));
  const place = make("div", { class: "course-scroll course-lags", tabindex: 0, role: "group", "aria-label": "The series, and the map of features by lag" });
  const said = make("p", { class: "course-said", "aria-live": "polite" });
  root.append(make("div", { class: "course-controls" }, [day]), place, said);
  let map = null;

  return {
    draw(now) {
      const end = Number(now.day);
      day.show(end);
      map = runtime.drawLags(place, model, end - size, Math.min(760, place.clientWidth || 360));
      for (const svg of place.querySelectorAll("svg")) svg.style.width = `${svg.getAttribute("width")}px`;
      const [today, tomorrow] = [truth[end - 1], truth[end]].map((value) => course.written(value, 1));
      said.textContent = `Forecast for ${tokens[end]}: ${course.written(map.whole, 1)} °C. It was ${tomorrow} °C, and the day before ${today} °C.`;
    },
    numbers: () => [map.whole, ...map.parts, ...map.byFeature],
  };
});
