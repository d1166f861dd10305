"""The Python part of the browser studio: prepares the data of a page, and serves it.

Only the command line imports the studio, which registers with `tracing` how notebooks show a trace.

- `opening.py`: opens a folder, a model, an LSTM, a trace or a stream; `models.py`, `modules.py`, `traces.py`, `live.py`
  make the bundles; `bundle.py`: `Bundle`: a head (JSON) and weights
- `page.py`, `html.py`, `assets.py`: the page as one file
- `server.py`, `serving.py`: serves it; `connections.py`: which connections stay open; `browser.py`: opens a browser;
  `guard.py`: checks every request; `sockets.py`, `messages.py`, `audience.py`: the messages between an open page and
  Python
- `notebook.py`: the page in a notebook; `view.py`: `Studio` and `hs.studio`; `calls.py`: inputs of an LSTM's calls
- `static/`: the page's own code; `static/runtime/` runs the models in the browser
"""
