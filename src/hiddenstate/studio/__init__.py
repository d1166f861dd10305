"""The studio in the browser, Python's part: what a page is given, and who serves it. The page's own code is in static.

Nothing but the command line imports the studio; it registers with `tracing` what a notebook shows of a trace.
"""
