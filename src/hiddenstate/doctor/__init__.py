"""`check`: finds the silent mistakes of a recurrent model by running it and watching it.

- `check.py`: `check`, and the table of the kinds of findings
- `axes.py`: findings about rows and time steps; `states.py`: about padding and states; `learning.py`: about training
- `observations.py`: the runs of the module on the example and on changed copies of it
- `example.py`: the example, its axes, and the copies
- `report.py`: findings and reports
- `misconceptions.py`: 35 common misconceptions, which findings and the course's checks name
"""
