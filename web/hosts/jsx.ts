// What the elements of the bundle are made with.

export { Fragment as JsxFragment, h as jsxElement } from "preact";
