// What the elements of the bundle are made with.

export { Fragment, h } from "preact";
