// A JupyterLab extension of one plugin, written to be loaded as it is: once the two panes stand, it turns the theory to
// the section of the notebook on the left, and keeps it there while formulas are being set, until the reader scrolls.
"use strict";
const SECTIONS = {}; // filled in by crackviz/series/lab.py: workspace -> anchor in THEORY.md

function turn(app) {
  const workspace = decodeURIComponent(location.pathname.split("/workspaces/")[1] || "").split("/")[0];
  const id = SECTIONS[workspace];
  if (!id) return;
  const place = () => app.commands.execute("rendermime:handle-local-link", { path: "THEORY.md", id: `#${id}` });
  let waiting = 0;
  const later = new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(place, 100);
  });
  const done = () => {
    clearTimeout(waiting);
    later.disconnect();
    for (const kind of ["wheel", "pointerdown", "keydown"]) removeEventListener(kind, done, true);
  };
  for (const kind of ["wheel", "pointerdown", "keydown"]) addEventListener(kind, done, true);
  const look = setInterval(() => {
    const text = document.querySelector(".jp-MarkdownViewer .jp-RenderedMarkdown");
    if (!text) return;
    clearInterval(look);
    later.observe(text);
    for (const child of text.children) later.observe(child);
  }, 100);
  setTimeout(() => (clearInterval(look), done()), 60000);
}

(window._JUPYTERLAB ??= {})["crackviz-lesson"] = {
  init: () => undefined,
  get: () =>
    Promise.resolve(() => ({
      __esModule: true,
      default: [{ id: "crackviz-lesson:section", autoStart: true, activate: (app) => void app.restored.then(() => turn(app)) }],
    })),
};
