"""The Python part of the browser studio: prepares the data of a page, and serves it.

Only the command line imports the studio, which registers with `tracing` how notebooks show a trace.

- `view.py`: `Studio` and `hs.studio`
- `bundles/`: the data that a page receives; `live.py`: the live view of a stream
- `page.py`, `html.py`, `assets.py`: the page as one file
- `server/`: serves it; `notebook.py`: the page in a notebook
- `corpus.py`: the index behind the pages Units and Search
- `messages.py`, `audience.py`: the messages between an open page and Python
- `dist/`: the page's own code, which runs the models in the browser; built from the TypeScript in the repository's web
  folder
"""
