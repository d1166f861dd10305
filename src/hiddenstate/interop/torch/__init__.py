"""Whole models of torch: every LSTM in them made ours, and back, with a report."""
