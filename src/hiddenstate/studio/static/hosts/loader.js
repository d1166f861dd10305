// Starts the page: unpacks its modules, which were joined into one script. This file is not a module itself.

(async () => {
  const nonce = document.currentScript?.nonce ?? "";

  /** @param {string} id */
  const unpacked = async (id) => {
    const signs = atob(document.getElementById(id)?.textContent ?? "");
    const bytes = new Uint8Array(signs.length);
    for (let k = 0; k < signs.length; k++) bytes[k] = signs.charCodeAt(k); // Uint8Array.from takes 20 times as long
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).json();
  };

  /**
   * @param {string} kind
   * @param {Record<string, string>} properties
   */
  const add = (kind, properties) => document.head.append(Object.assign(document.createElement(kind), { nonce }, properties));

  try {
    const { script, styles } = await unpacked("modules");
    add("style", { textContent: styles });
    add("script", { type: "module", textContent: `${script}\n//# sourceURL=studio.js` }); // the module's name in errors and debuggers
  } catch (error) {
    document.body.append(`This page could not start (${error}). It needs a browser from 2023 or later.`);
  }
})();
