"""Predicted accuracy: what a predictor is, the kinds there are, how one is made and tested. No torch at import."""
