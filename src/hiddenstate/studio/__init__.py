"""The Python part of the browser studio: prepares the data of a page, and serves it.

Only the command line imports the studio, which registers with `tracing` how notebooks show a trace.

- `view.py`: `Studio` and `hs.studio`, also in a notebook
- `bundles/`: the data that a page receives; `live.py`: the live view of a stream
- `page.py`: the page as one file, and the index behind its pages Units and Search; `assets.py`: its own files
- `server/`: serves it
- `messages.py`: the messages between open pages and Python
- `dist/`: the page's own code, which runs the models in the browser; built from the TypeScript in the repository's web
  folder
"""
