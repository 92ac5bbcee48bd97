"""Supernets and subnets, trained."""
