// Text with `code` and *emphasis*, and questions with a numeric answer.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";

export const rich = (text: string): (VNode | string)[] =>
  text
    .split(/(`[^`]+`|\*[^*\s][^*]*\*)/)
    .filter(Boolean)
    .map((part) => {
      if (part.length > 2 && part.startsWith("`")) return <code>{part.slice(1, -1)}</code>;
      if (part.length > 2 && part.startsWith("*") && part.endsWith("*")) return <em>{part.slice(1, -1)}</em>;
      return part;
    });

/** The response to what the user did last, which is read aloud. */
export const Response = ({ text }: { text: string }) => (
  <p class="tour-said" aria-live="polite">
    {rich(text)}
  </p>
);

/** @param props.respond returns the response to an answer */
export function Question({ label, respond }: { label: string; respond: (answer: number) => string }) {
  const response = useSignal("");
  const input = useRef<HTMLInputElement>(null);
  const check = (event: Event) => {
    event.preventDefault();
    const typed = input.current?.value.trim() ?? "";
    const answer = Number(typed.replace("−", "-").replace(",", "."));
    response.value = typed && Number.isFinite(answer) ? respond(answer) : "Type a number, such as 0.25.";
  };
  return (
    <form class="tour-question" onSubmit={check}>
      <label>
        {rich(label)}
        <input {...{ ref: input, type: "text", inputMode: "decimal", autocomplete: "off", size: 9 }} />
      </label>
      <button type="submit">Check</button>
      <Response text={response.value} />
    </form>
  );
}
