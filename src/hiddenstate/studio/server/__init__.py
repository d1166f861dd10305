"""Serves the studio's page to a browser.

- `site.py`: the routes; `serving.py`: runs the server; `connections.py`: decides which connections stay open
- `corpus_routes.py`: the routes of the pages of an index
- `guard.py`: checks every request; `sockets.py`: an open page's WebSocket
- `browser.py`: opens a browser without revealing the token in the address to other processes
"""
