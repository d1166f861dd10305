// Builds the page's files: node build.mjs FOLDER. With --modules FOLDER, each module by itself, for tests; with --package
// FOLDER, the modules of the JavaScript package.

import { build, transform } from "esbuild";
import { readdirSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOMS = ["runtime", "state", "ui", "panels", "page"];
const TARGET = "es2022";
// The libraries that modules import; a page that loads modules one by one finds them in npm/.
const LIBRARIES = ["preact", "preact/hooks", "preact/jsx-runtime", "@preact/signals"];

/** The files of the rooms whose names end with one of these; those nearer to the root come first. */
function sources(...suffixes) {
  const names = ROOMS.flatMap((room) =>
    readdirSync(join(HERE, room), { recursive: true }).map((name) => join(room, name)),
  );
  const depth = (name) => name.split(sep).length;
  return names
    .filter((name) => suffixes.some((suffix) => name.endsWith(suffix)))
    .sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
}

// The licences of the libraries that are part of the page.
const NOTICE =
  "/*! Contains Preact (c) 2015-present Jason Miller and Preact Signals (c) 2022-present Preact Team, MIT License: see LICENSES.txt */";

const common = {
  ...{ absWorkingDir: HERE, target: TARGET, charset: "utf8", minify: true, logLevel: "warning" },
  define: { WITH_INDEX: "true" },
};

// Elements as calls of h, which are shorter than those of the JSX runtime that tsconfig.json names. The names of hosts/jsx.ts
// are such that no variable hides them.
const { compilerOptions } = JSON.parse(await readFile(join(HERE, "tsconfig.json"), "utf8"));
const SHORT_JSX = {
  inject: [join(HERE, "hosts/jsx.ts")],
  tsconfigRaw: {
    compilerOptions: { ...compilerOptions, jsx: "react", jsxFactory: "jsxElement", jsxFragmentFactory: "JsxFragment" },
  },
};

async function buildPage(folder) {
  const bundled = { ...common, bundle: true };
  await Promise.all([
    ...["false", "true"].map((index) =>
      build({
        ...bundled,
        entryPoints: ["main.tsx"],
        ...SHORT_JSX,
        define: { WITH_INDEX: index },
        format: "esm",
        banner: { js: NOTICE },
        outfile: join(folder, index === "true" ? "studio-index.js" : "studio.js"),
      }),
    ),
    build({ ...bundled, entryPoints: ["hosts/loader.ts"], outfile: join(folder, "loader.js") }),
    build({ ...bundled, entryPoints: ["hosts/widget.ts"], format: "esm", outfile: join(folder, "widget.js") }),
    build({
      ...bundled,
      entryPoints: ["hosts/figures.tsx"],
      ...SHORT_JSX,
      define: { WITH_INDEX: "false" },
      banner: { js: NOTICE },
      format: "iife",
      globalName: "courseRuntime",
      outfile: join(folder, "figures.js"),
    }),
    copyFile(join(HERE, "index.html"), join(folder, "index.html")),
    writeLicenses(join(folder, "LICENSES.txt")),
    buildStyles(join(folder, "studio.css")),
  ]);
}

async function writeLicenses(outfile) {
  const names = ["preact", "@preact/signals"];
  const texts = await Promise.all(names.map((name) => readFile(join(HERE, "node_modules", name, "LICENSE"), "utf8")));
  await writeFile(outfile, names.map((name, k) => `${name}\n\n${texts[k]}`).join("\n\n"));
}

/** Joins the styles: the page's own come first, since those of the panels build on them. */
async function buildStyles(outfile) {
  const texts = await Promise.all(sources(".css").map((name) => readFile(join(HERE, name), "utf8")));
  const { code } = await transform(texts.join("\n"), { loader: "css", minify: true, target: TARGET, charset: "utf8" });
  await writeFile(outfile, code);
}

/** Modules that import each other and Preact; other libraries become part of the module that needs them. */
async function buildModules(folder, entryPoints) {
  const external = ["studio/*", ...LIBRARIES];
  await build({
    ...common,
    minify: false,
    bundle: true,
    external,
    entryPoints,
    outdir: folder,
    outbase: HERE,
    format: "esm",
  });
}

const BUILDS = {
  "--modules": (folder) =>
    Promise.all([
      buildModules(folder, ["main.tsx", "facts.ts", "types.ts", ...sources(".ts", ".tsx")]),
      build({
        ...common,
        bundle: true,
        splitting: true,
        format: "esm",
        entryPoints: Object.fromEntries(LIBRARIES.map((name) => [name, name])),
        outdir: join(folder, "npm"),
      }),
    ]),
  "--package": (folder) =>
    buildModules(
      folder,
      [
        "../runtime/js/index.ts",
        "facts.ts",
        "types.ts",
        ...sources(".ts").filter((name) => name.startsWith("runtime")),
      ].map((name) => ({ in: name, out: name.replace(/^\.\.\/runtime\/js\//, "").replace(/\.ts$/, "") })),
    ),
};
const [option, folder] = process.argv.length > 3 ? process.argv.slice(2) : [undefined, process.argv[2]];
await mkdir(folder, { recursive: true });
await (BUILDS[option] ?? buildPage)(folder);
