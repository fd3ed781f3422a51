"""Decide whether a network becomes champion."""
