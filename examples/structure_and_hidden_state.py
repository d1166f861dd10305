# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The structure of an LSTM, and its hidden state
#
# What are the weights of an LSTM? What is the *hidden state*, and what is the *cell state*? Why is `out[-1]` the same
# as `h_n`? Is feeding one element at a time the same as feeding the whole sequence? We take the smallest LSTM that
# shows it all, 4 features in and 3 hidden units, and look.

# %%
import torch

import hiddenstate as hs

torch.manual_seed(2)
lstm = hs.LSTM(input_size=4, hidden_size=3, num_layers=1)  # the LSTM that torch.nn.LSTM(4, 3) would have been

# %% [markdown]
# ## Its weights, by gate
#
# torch stacks the weights of the four gates into one matrix: `weight_ih_l0` is 12 × 4, that is four blocks of 3 × 4.
# By name they are easier to find.

# %%
print(lstm.structure())

# %% [markdown]
# A gate's weight by name is a view into the stacked matrix:

# %%
print(lstm.weight("l0.W_if").detach())  # rows 3 to 5 of weight_ih_l0: what the forget gate reads from the input

# %% [markdown]
# ## Five inputs and a state
#
# An input is `(time steps, batch, features)`. A state is a pair: the hidden state h, the short-term memory, and the
# cell state c, the long-term one; each is `(layers * directions, batch, units)`. (With a projection h is narrower than
# c.)

# %%
inputs = [torch.randn(1, 4) for _ in range(5)]
h0, c0 = torch.randn(1, 1, 3), torch.randn(1, 1, 3)
print(inputs[0])

# %% [markdown]
# ## One element at a time: the mistake
#
# This loop looks right, and it is how many a lesson has it. But it gives every element *the same* state to begin
# with: nothing of one element reaches the next.

# %%
for x in inputs:
    out, (h, c) = lstm(x.view(1, 1, -1), (h0, c0))  # restarts from (h0, c0) at every step
    print("h", h.detach().flatten(), " c", c.detach().flatten())

# %% [markdown]
# ## One element at a time, with the state carried
#
# A stream remembers the state between the steps.

# %%
h0, c0 = torch.randn(1, 1, 3), torch.randn(1, 1, 3)
stream = lstm.stream()
stream.state = (h0, c0)
stepwise = [stream.step(x) for x in inputs]
for h in stepwise:
    print("h", h.flatten())
print("c at the end", stream.state[1].flatten())

# %% [markdown]
# ## All at once
#
# The same computation, in one call: `out` holds the hidden state after each of the five steps. (With two directions
# there is no other way: the reverse one begins at the last element.)

# %%
sequence = torch.cat(inputs).view(5, 1, 4)
out, (h_n, c_n) = lstm(sequence, (h0, c0))
print(out.detach().squeeze(1))
print("h_n", h_n.detach().flatten())
print("c_n", c_n.detach().flatten())

# %%
assert torch.allclose(torch.stack(stepwise), out.detach(), atol=1e-6)  # one at a time, carried, is all at once
assert torch.equal(out[-1], h_n[-1])  # the last output IS the final hidden state

# %% [markdown]
# `out[-1]` equals `h_n[-1]` because the output of an LSTM is the hidden state of its last layer. It holds with one
# direction and whole sequences, of **two layers** too: `h_n` has a row for each, and `h_n[0]`, the first layer's, is
# another. It does not hold when
#
# - there are **two directions**: the reverse one ends at the *first* step, so its final state is in `out[0]`;
# - sequences are **padded**: `out[-1]` is padding for all that are shorter than the longest.

# %%
two_layers = hs.LSTM(4, 3, num_layers=2)
out2, (h_n2, _) = two_layers(sequence)
assert torch.equal(out2[-1], h_n2[-1])
assert not torch.equal(out2[-1], h_n2[0])

two_directions = hs.LSTM(4, 3, bidirectional=True)
out2, (h_n2, _) = two_directions(sequence)
assert torch.equal(out2[-1, :, :3], h_n2[0])  # forward: ends at the last step
assert torch.equal(out2[0, :, 3:], h_n2[1])  # reverse: ends at the first

ragged, (h_n3, _) = lstm(sequence.expand(5, 2, 4), lengths=[5, 3])
assert torch.equal(ragged[2, 1], h_n3[0, 1])  # the second row ended after three steps
assert not ragged[3:, 1].any()  # what is past its end is zero

# %% [markdown]
# ## Inside: the gates
#
# A trace records, at every step, the four gates and the two states. Each unit's numbers can be put into the equations:

# %%
trace = lstm.trace(sequence, (h0, c0), tokens=["first", "second", "third", "fourth", "fifth"])
print(trace["l0.f"].shape)  # (time steps, batch, units)
print(trace.at(t=2, unit=1))

# %% [markdown]
# `c = f·c_prev + i·g`: the forget gate f says how much of the old cell state is kept, the input gate i how much of
# the candidate g is written. `h = o·tanh(c)`: the output gate o says how much of tanh(c) is shown.
#
# ## Inside: what if?
#
# A value can be changed as well as read. Close every forget gate at the third step, and the network forgets what it
# had in c. Steps before it are untouched; steps after it go on from there. (So it is with one direction. With two, a
# layer above reads both, and an edit reaches the steps before it too.)

# %%
with lstm.edit(hs.zero("l0.f", t=2)):
    forgetful, _ = lstm(sequence, (h0, c0))
print((forgetful - out).detach().abs().amax(dim=(1, 2)).round(decimals=4))
assert torch.allclose(forgetful[:2], out[:2], atol=1e-6)
assert not torch.allclose(forgetful[2:], out[2:], atol=1e-3)

# %%
both_ways = hs.LSTM(4, 3, num_layers=2, bidirectional=True)
with both_ways.edit(hs.zero("l0.f", t=2)):
    forgetful, _ = both_ways(sequence)
assert not torch.allclose(forgetful[:2], both_ways(sequence)[0][:2], atol=1e-6)  # steps 0 and 1 moved as well
