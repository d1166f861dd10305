// Starts the page: unpacks its code. This file is not a module.

(async () => {
  const nonce = document.currentScript?.nonce ?? "";

  const unpacked = async (id: string) => {
    const signs = atob(document.getElementById(id)?.textContent ?? "");
    const bytes = new Uint8Array(signs.length);
    for (let k = 0; k < signs.length; k++) bytes[k] = signs.charCodeAt(k); // Uint8Array.from takes 20 times as long
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).json();
  };

  const add = (kind: string, properties: Record<string, string>) =>
    document.head.append(Object.assign(document.createElement(kind), { nonce }, properties));

  try {
    const { script, styles } = await unpacked("code");
    add("style", { textContent: styles });
    add("script", { type: "module", textContent: `${script}\n//# sourceURL=studio.js` }); // the module's name in errors and debuggers
  } catch (error) {
    document.body.append(`This page could not start (${error}). It needs a browser from 2023 or later.`);
  }
})();
