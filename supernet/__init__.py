"""Spaces, archs, layers, networks, data and exports of once-for-all supernets."""
