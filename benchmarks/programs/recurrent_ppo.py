"""Trains an LSTM policy to balance a pole: the first example in the documentation of sb3-contrib's RecurrentPPO."""

import sys
import time

from sb3_contrib import RecurrentPPO

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 4096

model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=128, seed=0, device="cpu")
begin = time.perf_counter()
model.learn(STEPS)
print(f"seconds {time.perf_counter() - begin:.3f}")
