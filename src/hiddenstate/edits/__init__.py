"""What to change in a run: edits as frozen data, and edits resolved against one call.

Nothing here runs anything: the engine applies edits, and `hiddenstate.LSTM.edit` opens the block in which they hold.
"""
