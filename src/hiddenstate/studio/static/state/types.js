// What every panel is given. Types only: nothing here runs.

/**
 * What each panel is given.
 * @typedef {object} App
 * @property {import("studio/state/store.js").Store} store
 * @property {import("studio/state/session.js").Session} session
 * @property {import("studio/state/player.js").Player} player
 * @property {typeof import("studio/state/host.js")} host
 */

export {};
