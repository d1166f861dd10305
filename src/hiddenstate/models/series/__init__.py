"""Series models: modules that read numbers, with the names, dates and units of their columns.

- `series_model.py`: `hs.series_model`, `SeriesModel`
- `forecasts.py`: forecasts with dates, and their skill; `what_if.py`: forecasts with edits
- `frames.py`: frames, datasets and arrays as columns of numbers with dates; `dates.py`: dates, their gaps and names
- `live.py`: streams, one step at a time
- `stored.py`: a model in a folder or file
- `scale.py`: the scaling of columns
- `tables.py`: files of series: CSV and Parquet
- `training.py`: trains a forecaster on such a file, and compares it with simple ones; `config.py`: its settings
- `module_form.py`: what a module takes and gives, found by calling it
- `network.py`: the simple shape: layers before and after one recurrent stack; found in a module, and a module itself
"""
