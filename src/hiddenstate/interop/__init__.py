"""LSTMs of others: conversion of torch's modules, weights of other frameworks, ONNX.

Optional packages are imported when a function needs them, not with the room.
"""
