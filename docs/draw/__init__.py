"""Draws the pictures."""
