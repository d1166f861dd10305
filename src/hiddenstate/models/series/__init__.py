"""Models of series: modules that read numbers, with the names, dates and units of their columns.

- `series_model.py`: `hs.series_model`, `SeriesModel`
- `forecasts.py`: forecasts with dates, and their skill
- `frames.py`: frames, datasets and arrays as columns of numbers with dates; `dates.py`: dates, their gaps and names
- `scale.py`: the scaling of columns
- `module_form.py`: what a module takes and gives, found by calling it
"""
