"""What an LSTM is, as data: names, sizes, parameters, weights by gate, equations, and tables and pictures of them.

Nothing here computes an LSTM, and nothing here holds a weight's values.
"""
