"""Bundles, and what runs them: nothing here is imported before it is asked for.

`raresight.deploy.bundle` makes them and needs the extra ``train``; `raresight.deploy.predictor` opens them
with the core install alone.
"""
