"""What a run computed, by name. A recorder records a `Traceable` module: nothing here knows `hiddenstate.LSTM`.

- `record.py`: what was recorded, as frozen data; `trace.py`: the public class, `Trace`
- `record_spec.py`: turns the options of a trace into a `RecordSpec`, and a result into a trace
- `traceable.py`: the base class of layers whose calls can be recorded
- `recorders.py`: active recorders: of one LSTM, or of a whole model
- `models.py`, `model_recorder.py`: traces of whole models by module path: `hs.trace`, `ModelTrace`; one recorded run
- `as_written.py`: blocks in which nothing runs compiled
- `join.py`: joins the traces of consecutive calls; `cut_states.py`: the states that resets cut off
- `unit_step.py`: one unit at one step, with its equations; `summary.py`: a trace in a few numbers per step
- `tables.py`, `plots.py`, `files.py`: traces as tables and labelled arrays, as pictures, and as files
"""
