"""Stored objects as HTTP answers: ranges, validators, safe headers."""
