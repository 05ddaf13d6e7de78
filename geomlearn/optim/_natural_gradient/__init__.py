"""Inverse-free structured natural gradient of networks."""
