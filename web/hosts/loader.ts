// Starts the page: unpacks its code. The built file is not a module.

import { inflated } from "studio/state/host.js";

(async () => {
  const nonce = document.currentScript?.nonce ?? "";

  const add = (kind: string, properties: Record<string, string>) =>
    document.head.append(Object.assign(document.createElement(kind), { nonce }, properties));

  try {
    const { script, styles } = await inflated(document.getElementById("code")?.textContent ?? "").json();
    add("style", { textContent: styles });
    add("script", { type: "module", textContent: `${script}\n//# sourceURL=studio.js` }); // the module's name in errors and debuggers
  } catch (error) {
    document.body.append(`This page could not start (${error}). It needs a browser from 2023 or later.`);
  }
})();
