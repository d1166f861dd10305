"""Measures a tagger's accuracy and confidence.

- `accuracy.py`: accuracy overall, on unknown words, tag by tag
- `calibration.py`: how well its confidence is calibrated, and a temperature that calibrates it
- `report_plot.py`: pictures of both
"""
