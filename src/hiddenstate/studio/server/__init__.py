"""Serves the studio's page to a browser.

- `serving.py`: runs the server, decides which connections stay open, and opens a browser
- `site.py`: the routes, also those of the pages of an index, and an open page's WebSocket
- `guard.py`: checks every request
"""
