// The heat map's controls: the value to show, the sort order, and the pin.

import { findHead } from "studio/state/predictions.js";
import { togglePin } from "studio/state/units.js";
import type { Run, View } from "studio/types.js";
import { useApp } from "studio/ui/app.js";
import { IconButton, type Option, Segments, Select } from "studio/ui/form.js";

const MOST_TAGS = 200; // a vocabulary would be too long for a list

export function HeatTools() {
  const { store, session, view } = useApp();
  const { model, run } = session;
  const options = model?.quantities.map((value) => {
    return { value, text: value, title: `${value}: ${model.meanings[value]}` };
  });
  return (
    <>
      {options && (
        <Segments
          {...{ label: "Value to show", options, value: view.quantity }}
          choose={(quantity) => store.set({ quantity })}
        />
      )}
      <Select
        {...{ label: "Sort by", options: sortOptions(run, view), value: view.sort }}
        choose={(sort) => store.set({ sort })}
      />
      <Pin />
    </>
  );
}

function Pin() {
  const { store, view } = useApp();
  const isPinned = view.pinned.includes(view.unit);
  return (
    <IconButton
      {...{
        icon: "pin",
        label: `Pin unit ${view.unit} (P)`,
        title: `${isPinned ? "Unpin" : "Pin"} unit ${view.unit} (P)`,
      }}
      aria-pressed={isPinned}
      onClick={() => togglePin(store, store.get().unit)}
    />
  );
}

function sortOptions(run: Run | null, { head: name, sort }: View): Option[] {
  const head = run && findHead(run, name);
  const tags =
    head && head.labels.length < MOST_TAGS ? [...new Set(Array.from(head.chosen, (k) => head.labels[k]))].sort() : [];
  if (sort.startsWith("tag:") && !tags.includes(sort.slice(4))) tags.push(sort.slice(4));
  return [
    { value: "index", text: "index" },
    { value: "change", text: "change" },
    { value: "cluster", text: "likeness" },
    ...tags.map((tag) => ({ value: `tag:${tag}`, text: tag, group: "correlation with" })),
  ];
}
