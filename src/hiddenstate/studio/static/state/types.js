// Types of the arguments that every panel receives; contains no code.

/**
 * The arguments that each panel receives.
 * @typedef {object} App
 * @property {import("studio/state/store.js").Store} store
 * @property {import("studio/state/session.js").Session} session
 * @property {import("studio/state/player.js").Player} player
 * @property {typeof import("studio/state/host.js")} host
 * @property {import("studio/state/corpus.js").Corpus} corpus
 */

export {};
