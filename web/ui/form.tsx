// Controls as components: choices, boxes, progress, tables.

import { useSignal } from "@preact/signals";
import type { ComponentChild, JSX, TargetedMouseEvent } from "preact";
import { useId, useRef } from "preact/hooks";
import { shownToken } from "studio/state/run.js";
import { format, tick } from "studio/ui/draw.js";

type Choosing<T, Options> = { label: string; options: Options; value: T; choose: (value: T) => void };
type Segment<T> = { value: T; text: string; title?: string };

/** A choice between a few options, as a group of joined buttons. */
export function Segments<T extends string>(props: Choosing<T, readonly Segment<T>[]>) {
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
export function Choice<K extends string>(props: Choosing<K, Record<K, string>>) {
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

/** A labelled drop-down list. Options of a group follow one another; `kind`: further classes. */
export function Select(props: Choosing<string, readonly Option[]> & { kind?: string }) {
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
export function TrackChoice(props: Omit<Choosing<string, Segment<string>[]>, "label">) {
  const label = "Layer and direction";
  if (props.options.length <= MOST_BUTTONS) return <Segments {...props} label={label} />;
  const options = props.options.map(({ value, text, title }) => ({ value, text: title ?? text }));
  return <Select {...props} label={label} kind="nameless" options={options} />;
}

type Pressed = (event: TargetedMouseEvent<HTMLButtonElement>) => void;
type ButtonProps = JSX.IntrinsicElements["button"] & { text: ComponentChild; press?: Pressed; kind?: string };

export const Button = ({ text, press, kind, ...rest }: ButtonProps) => (
  <button type="button" class={kind} onClick={press} {...rest}>
    {text}
  </button>
);

/** Code, and a button that copies it, or selects it if the page has no clipboard, as opened from a file or in a notebook. */
export function Code({ title, text, kind }: { title: string; text: string; kind?: string }) {
  const code = useRef<HTMLPreElement>(null);
  const done = useSignal({ text: "", outcome: "" });
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => (done.value = { text, outcome: "Copied" }),
      () => {
        getSelection()?.selectAllChildren(code.current as HTMLElement);
        done.value = { text, outcome: "Selected: copy it with Ctrl+C" };
      },
    );
  return (
    <figure class="code">
      <figcaption>
        {title}
        <Button text={done.value.text === text ? done.value.outcome : "Copy"} press={() => void copy()} />
      </figcaption>
      <pre {...{ ref: code, class: kind, tabindex: 0 }}>
        <code>{text}</code>
      </pre>
    </figure>
  );
}

type IconButtonProps = JSX.IntrinsicElements["button"] & { icon: Icon; label: string; kind?: string };

/** A button with an icon, whose label is also its title unless it has one. */
export const IconButton = ({ icon, label, kind = "quiet", ...rest }: IconButtonProps) => (
  <button type="button" class={`icon-button ${kind}`} aria-label={label} title={label} {...rest}>
    <svg class="icon" width={16} height={16} viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[icon]} fill="currentColor" />
    </svg>
  </button>
);

type SaysProps = { kind: string; text: ComponentChild; how?: "status" | "alert" | "polite"; hidden?: boolean };

/** A line that is read aloud when it changes; "polite" has no role. */
export const Says = ({ kind, text, how = "status", hidden }: SaysProps) => (
  <p class={kind} hidden={hidden} {...(how === "polite" ? { "aria-live": how } : { role: how })}>
    {text}
  </p>
);

/** How far a job is, with a button that stops it, while it runs. */
export const Progress = ({ of: job, label }: { of: { share: number; stop: () => void }; label: string }) =>
  job.share < 1 && (
    <>
      <progress max={1} value={job.share} aria-label={label} />
      <Button text="Stop" press={() => job.stop()} />
    </>
  );

interface TableProps {
  class: string;
  caption?: string;
  rows: ComponentChild[][]; // the first is the heading
  isNamed?: boolean; // whether the first cell of each row is its name
  kind?: (column: number, isHead: boolean) => string | undefined; // classes of a cell
  rowKind?: (row: number) => string;
}

export const Table = ({ class: name, caption, rows: [head, ...rows], isNamed, kind, rowKind }: TableProps) => (
  <table class={name}>
    {caption && <caption>{caption}</caption>}
    <thead>
      <tr>
        {head.map((title, k) => (
          <th {...{ scope: "col", class: kind?.(k, true) }}>{title}</th>
        ))}
      </tr>
    </thead>
    <tbody>
      {rows.map((row, r) => (
        <tr class={rowKind?.(r)}>
          {row.map((cell, k) =>
            isNamed && k === 0 ? <th scope="row">{cell}</th> : <td class={kind?.(k, false)}>{cell}</td>,
          )}
        </tr>
      ))}
    </tbody>
  </table>
);

/** Rows below a picture, which are made when they are opened, with four digits; `kind`: the panel's class. */
export function AsTable({ kind, rows }: { kind: string; rows: () => string[][] }) {
  const opened = useSignal(false);
  return (
    <details class={`${kind}-more`} onToggle={({ currentTarget }) => (opened.value = currentTarget.open)}>
      <summary>As a table</summary>
      <div class="scroll">
        {opened.value && <Table class={`${kind}-table`} rows={rows().map((row) => row.map(short))} />}
      </div>
    </details>
  );
}

const short = (cell: string) =>
  /^-?\d+(\.\d*)?(e-?\d+)?$/.test(cell) && /[.e]/.test(cell) ? tick(format(Number(cell))) : cell && shownToken(cell);

const ICONS = Object.freeze({
  play: "M4.5 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  next: "M3 3v10l7-5zM11.2 3h1.8v10h-1.8z",
  previous: "M13 3v10L6 8zM3 3h1.8v10H3z",
  undo: "M6.5 2.2 2 6l4.5 3.8V7.4c3 0 5 .9 6.3 3.4.2-3.6-2.2-6.2-6.3-6.3z",
  redo: "M9.5 2.2 14 6 9.5 9.8V7.4c-3 0-5 .9-6.3 3.4C3 7.2 5.4 4.6 9.5 4.5z",
  auto: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 1.6v9.8a4.9 4.9 0 0 1 0-9.8z",
  light:
    "M8 4.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8zM7.3.8h1.4v2.3H7.3zM7.3 12.9h1.4v2.3H7.3z" +
    "M.8 7.3h2.3v1.4H.8zM12.9 7.3h2.3v1.4h-2.3zM2.4 3.4l1-1L5 4l-1 1zM11 12l1-1 1.6 1.6-1 1z" +
    "M12 5l-1-1 1.6-1.6 1 1zM3.4 13.6l-1-1L4 11l1 1z",
  dark: "M6.2 1.7A6.5 6.5 0 1 0 14.3 9.8 5.4 5.4 0 0 1 6.2 1.7z",
  pin: "M5 1.5h6v1.4l-1 .7v3.2l2 2v1.3H8.7v4.4h-1.4v-4.4H4V8.8l2-2V3.6l-1-.7z",
});

type Icon = keyof typeof ICONS;
