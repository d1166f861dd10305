"""The values of a run, by name. Only `Traceable` modules are recorded; nothing here depends on `hiddenstate.LSTM`.

- `record.py`: the recorded values, as frozen data; one unit at one step, with its equations
- `trace.py`: the public class, `Trace`, also in files
- `record_spec.py`: converts the options of a trace to a `RecordSpec`, and a result to a trace
- `traceable.py`: the base class of layers whose calls can be recorded
- `recorders.py`: the active recorders, for one LSTM or a whole model
- `models.py`: traces of whole models by module path: `hs.trace`, `ModelTrace`
- `model_recorder.py`: one recorded run of a model; joins the traces of consecutive calls
- `watch.py`: watches a run of a model: every tensor, by which operation, in which module, from which others
- `views.py`: tables and labelled arrays, a summary of each step, the states discarded by resets
- `plots.py`: traces as plots
"""
