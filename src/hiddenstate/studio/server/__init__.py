"""Serves the studio's page to a browser.

- `serving.py`: runs the server, decides which connections stay open, and opens a browser
- `site.py`: the routes, and an open page's WebSocket; `corpus_routes.py`: the routes of the pages of an index
- `guard.py`: checks every request
"""
