// Controls as components: choices, boxes, progress, tables.

import type { ComponentChild, JSX } from "preact";
import { useId } from "preact/hooks";
import { type Icon, ICONS } from "studio/ui/icons.js";

/** A choice between a few options, as a group of joined buttons. */
export function Segments<T extends string>(props: {
  label: string;
  options: readonly { value: T; text: string; title?: string }[];
  value: T;
  choose: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(({ value, text, title }) => (
        <button
          type="button"
          title={title}
          data-value={value}
          aria-pressed={value === props.value}
          onClick={() => props.choose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** A choice between a few options, as radio buttons that look like one bar. */
export function Choice<K extends string>(props: {
  label: string;
  options: Record<K, string>;
  value: K;
  choose: (value: K) => void;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend>{props.label}</legend>
      {(Object.keys(props.options) as K[]).map((key) => (
        <label>
          <input
            {...{ type: "radio", name, value: key, checked: key === props.value }}
            onChange={() => props.choose(key)}
          />
          <span>{props.options[key]}</span>
        </label>
      ))}
    </fieldset>
  );
}

export type Option = { value: string; text: string; group?: string };

/** A labelled drop-down list. Options of a group follow one another. */
export function Select(props: {
  label: string;
  options: readonly Option[];
  value: string;
  choose: (value: string) => void;
  kind?: string; // further classes
}) {
  const groups = [...new Set(props.options.map(({ group }) => group))];
  return (
    <label class={`field ${props.kind ?? ""}`.trim()}>
      <span>{props.label}</span>
      <select
        aria-label={props.label}
        value={props.value}
        onChange={({ currentTarget }) => {
          const { value } = currentTarget;
          currentTarget.value = props.value; // until it is drawn with another
          props.choose(value);
        }}
      >
        {groups.map((name) => {
          const options = props.options.filter(({ group }) => group === name);
          const entries = options.map(({ value, text }) => <option value={value}>{text}</option>);
          return name === undefined ? entries : <optgroup label={name}>{entries}</optgroup>;
        })}
      </select>
    </label>
  );
}

const MOST_BUTTONS = 6;

/** The choice of the layer and direction: buttons if there are few, otherwise a list. */
export function TrackChoice(props: {
  options: { value: string; text: string; title?: string }[];
  value: string;
  choose: (track: string) => void;
}) {
  const label = "Layer and direction";
  if (props.options.length <= MOST_BUTTONS) return <Segments {...props} label={label} />;
  const options = props.options.map(({ value, text, title }) => ({ value, text: title ?? text }));
  return <Select {...props} label={label} kind="nameless" options={options} />;
}

/** A button with an icon, whose label is also its title unless it has one. */
export function IconButton({
  icon,
  label,
  kind = "quiet",
  ...rest
}: {
  icon: Icon;
  label: string;
  kind?: string;
} & Omit<JSX.IntrinsicElements["button"], "icon">) {
  return (
    <button type="button" class={`icon-button ${kind}`} aria-label={label} title={label} {...rest}>
      <svg class="icon" width={16} height={16} viewBox="0 0 16 16" aria-hidden="true">
        <path d={ICONS[icon]} fill="currentColor" />
      </svg>
    </button>
  );
}

/** How far a job is, with a button that stops it, while it runs. */
export function Progress({ of: job, label }: { of: { share: number; stop: () => void }; label: string }) {
  return (
    job.share < 1 && (
      <>
        <progress max={1} value={job.share} aria-label={label} />
        <button type="button" onClick={() => job.stop()}>
          Stop
        </button>
      </>
    )
  );
}

/** @param props.rows the first is the heading */
export function Table({ class: kind, rows: [head, ...rows] }: { class: string; rows: ComponentChild[][] }) {
  return (
    <table class={kind}>
      <thead>
        <tr>
          {head.map((name) => (
            <th scope="col">{name}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr>
            {row.map((cell) => (
              <td>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
