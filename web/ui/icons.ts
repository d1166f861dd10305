// The icons on buttons, drawn on a 16 by 16 grid in the text colour.

export const ICONS = Object.freeze({
  play: "M4.5 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  next: "M3 3v10l7-5zM11.2 3h1.8v10h-1.8z",
  previous: "M13 3v10L6 8zM3 3h1.8v10H3z",
  undo: "M6.5 2.2 2 6l4.5 3.8V7.4c3 0 5 .9 6.3 3.4.2-3.6-2.2-6.2-6.3-6.3z",
  redo: "M9.5 2.2 14 6 9.5 9.8V7.4c-3 0-5 .9-6.3 3.4C3 7.2 5.4 4.6 9.5 4.5z",
  auto: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 1.6v9.8a4.9 4.9 0 0 1 0-9.8z",
  light:
    "M8 4.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8zM7.3.8h1.4v2.3H7.3zM7.3 12.9h1.4v2.3H7.3z" +
    "M.8 7.3h2.3v1.4H.8zM12.9 7.3h2.3v1.4h-2.3zM2.4 3.4l1-1L5 4l-1 1zM11 12l1-1 1.6 1.6-1 1z" +
    "M12 5l-1-1 1.6-1.6 1 1zM3.4 13.6l-1-1L4 11l1 1z",
  dark: "M6.2 1.7A6.5 6.5 0 1 0 14.3 9.8 5.4 5.4 0 0 1 6.2 1.7z",
  pin: "M5 1.5h6v1.4l-1 .7v3.2l2 2v1.3H8.7v4.4h-1.4v-4.4H4V8.8l2-2V3.6l-1-.7z",
});

export type Icon = keyof typeof ICONS;
