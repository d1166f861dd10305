"""``python -m hiddenstate.run PROGRAM``: runs a program with torch's LSTMs, GRUs and RNNs on the engine."""

from hiddenstate.interop.torch.accelerate.program import main

if __name__ == "__main__":
    main()
