// The card of a panel: a heading, an explanation in two or three sentences, tools, and its export.

import { type ReadonlySignal, useSignal } from "@preact/signals";
import type { ComponentChild, ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { still, useApp, useNouns } from "studio/ui/app.js";
import { type Exports, save } from "studio/ui/export.js";
import { Button } from "studio/ui/form.js";
import { watchVisibility } from "studio/ui/visibility.js";

interface PanelProps {
  id: string;
  title: string;
  help: string;
  exports?: Exports;
  picture?: (width: number) => ComponentChild; // of about this width; saved as SVG and PNG
  tools?: ComponentChildren;
  hidden?: boolean;
  kind?: string; // further classes
  onKeyDown?: (event: KeyboardEvent) => void;
  body?: string; // further classes of the body
  draw?: (seen: ReadonlySignal<boolean>) => ComponentChildren; // draws the content, but only while the panel is on the screen
  children?: ComponentChildren; // the content that is drawn always
}

export function Panel(props: PanelProps) {
  const { id, title, help, picture, hidden, kind = "", onKeyDown, body = "", draw } = props;
  const inNouns = useNouns();
  const helped = useSignal(false);
  const root = useRef<HTMLElement>(null);
  const svg = picture && (() => still<SVGSVGElement>(picture(root.current?.clientWidth ?? 0)));
  return (
    <section {...{ ref: root, id, class: `panel ${kind}`.trim(), hidden, onKeyDown }} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`} class="panel-title">
          {inNouns(title)}
        </h2>
        <div class="panel-tools">{props.tools}</div>
        <div class="panel-ends">
          <Button
            {...{ text: "?", kind: "quiet round", title: "What is this?", "aria-label": `About: ${title}` }}
            {...{ "aria-expanded": helped.value, "aria-controls": `${id}-help` }}
            press={() => (helped.value = !helped.value)}
          />
          <Save id={id} title={title} exports={{ ...(svg && { svg, png: svg }), ...props.exports }} />
        </div>
      </header>
      <p id={`${id}-help`} class="panel-help" hidden={!helped.value}>
        {inNouns(help)}
      </p>
      <div class={`panel-body ${body}`.trim()}>
        {props.children}
        {draw && <WhenSeen {...{ root, draw }} />}
      </div>
    </section>
  );
}

/** Content that is drawn while an element is on the screen or close to it, and otherwise stays as it was. */
function WhenSeen({ root, draw }: { root: { current: HTMLElement | null }; draw: NonNullable<PanelProps["draw"]> }) {
  const seen = useSignal(false);
  const last = useRef<ComponentChildren>(null);
  const { model, error } = useApp().session;
  const isFull = model !== null || error !== null; // before that, the panels above are low, so that all are on the screen
  useLayoutEffect(
    () => (isFull ? watchVisibility(root.current as HTMLElement, (now) => (seen.value = now)) : undefined),
    [isFull],
  );
  if (seen.value) last.current = draw(seen);
  return <>{last.current}</>;
}

function Save({ id, title, exports }: { id: string; title: string; exports: Exports }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const isEmpty = useSignal(false);
  const kinds = (["svg", "png", "csv"] as const).filter((kind) => exports[kind]);
  if (kinds.length === 0) return null;
  const close = () => {
    const { current } = menu;
    if (current?.contains(document.activeElement)) current.querySelector("summary")?.focus(); // else it would be lost
    current?.removeAttribute("open");
  };
  const keep = async (kind: keyof Exports) => {
    isEmpty.value = !(await save(`hiddenstate-${id}`, kind, exports));
    if (!isEmpty.value) close();
  };
  return (
    <details
      ref={menu}
      class="menu"
      onToggle={({ currentTarget }) => currentTarget.open || (isEmpty.value = false)}
      onKeyDown={({ key }) => key === "Escape" && close()}
      onFocusOut={({ relatedTarget }) => menu.current?.contains(relatedTarget as Node | null) || close()}
    >
      <summary class="quiet" aria-label={`Save ${title}`}>
        Save
      </summary>
      <div class="menu-items">
        {kinds.map((kind) => (
          <Button
            text={kind.toUpperCase()}
            kind="menu-item"
            aria-label={`Save ${title} as ${kind.toUpperCase()}`}
            data-export={kind}
            press={() => void keep(kind)}
          />
        ))}
        <p class="menu-nothing" aria-live="polite">
          {isEmpty.value && "There is nothing to save yet."}
        </p>
      </div>
    </details>
  );
}

/** The placeholder in a panel that has nothing to show. */
export function Unread() {
  const { session } = useApp();
  return session.run === null && session.model !== null && <p class="soft">Nothing has been read yet.</p>;
}
