// Starts the page: unpacks its modules and gives each a URL. This is not a module itself, since modules can't be
// resolved before it runs.

(async () => {
  const nonce = document.currentScript?.nonce ?? "";

  /** @param {string} id */
  const unpacked = async (id) => {
    const signs = atob(document.getElementById(id)?.textContent ?? "");
    const bytes = Uint8Array.from(signs, (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).json();
  };

  /**
   * @param {string} kind
   * @param {Record<string, string>} properties
   */
  const add = (kind, properties) => document.head.append(Object.assign(document.createElement(kind), { nonce }, properties));

  try {
    const { modules, styles } = await unpacked("modules");
    add("style", { textContent: styles });
    const imports = Object.fromEntries(
      Object.entries(modules).map(([name, text]) => {
        const named = `${text}\n//# sourceURL=studio/${name}`; // its name in errors and debuggers
        return [`studio/${name}`, URL.createObjectURL(new Blob([named], { type: "text/javascript" }))];
      }),
    );
    add("script", { type: "importmap", textContent: JSON.stringify({ imports }) });
    add("script", { type: "module", src: imports["studio/main.js"] });
  } catch (error) {
    document.body.append(`This page could not start (${error}). It needs a browser from 2023 or later.`);
  }
})();
