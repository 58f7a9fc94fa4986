"""Bundles are made of runs in a data folder of their own, as the store's tests are."""

from store.conftest import data

__all__ = ["data"]
