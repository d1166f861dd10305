"""What every room shares: values that hold inside a block, checks of arguments, files, indices, figures.

Nothing here knows what an LSTM is.
"""
