"""Fits a forecaster: pytorch-forecasting's DeepAR, with a two-layer LSTM, on synthetic seasonal series."""

import logging
import sys
import time
import warnings

import lightning.pytorch as pl
from pytorch_forecasting import DeepAR, TimeSeriesDataSet
from pytorch_forecasting.data.examples import generate_ar_data

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 3

warnings.simplefilter("ignore")  # warnings about unused workers and the like
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pl.seed_everything(0, verbose=False)
data = generate_ar_data(seasonality=10.0, timesteps=300, n_series=60, seed=0)
training = TimeSeriesDataSet(
    data,
    time_idx="time_idx",
    target="value",
    group_ids=["series"],
    time_varying_unknown_reals=["value"],
    max_encoder_length=60,
    max_prediction_length=20,
)
model = DeepAR.from_dataset(training, hidden_size=64, rnn_layers=2)
loader = training.to_dataloader(train=True, batch_size=64, num_workers=0)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = pl.Trainer(max_epochs=EPOCHS, limit_train_batches=40, accelerator="cpu", **quiet)
begin = time.perf_counter()
trainer.fit(model, loader)
print(f"seconds {time.perf_counter() - begin:.3f}")
