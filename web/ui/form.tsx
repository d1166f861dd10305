// Controls as components: choices, boxes, progress, tables.

import type { ComponentChild } from "preact";

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

/** A labelled drop-down list. */
export function Select(props: {
  label: string;
  options: readonly { value: string; text: string }[];
  value: string;
  choose: (value: string) => void;
}) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} onChange={({ currentTarget }) => props.choose(currentTarget.value)}>
        {props.options.map(({ value, text }) => (
          <option value={value}>{text}</option>
        ))}
      </select>
    </label>
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
