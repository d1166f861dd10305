"""Names that tests of torch 2.6 import and later versions of torch no longer have; none is used by a test of an LSTM."""

import torch
import torch.jit.frontend
from torch.testing._internal import common_cuda, common_mkldnn, common_nn, jit_metaprogramming_utils

for _place, _name, _value in (
    (common_nn, "new_module_tests", []),
    (common_cuda, "tf32_is_not_fp32", lambda: True),
    (common_mkldnn, "bf32_on_and_off", lambda *_: lambda test: test),
    (jit_metaprogramming_utils, "additional_module_tests", []),
    (torch.jit.frontend, "_IS_ASTUNPARSE_INSTALLED", True),
    (torch.export, "export_for_training", torch.export.export),
):
    if not hasattr(_place, _name):
        setattr(_place, _name, _value)
