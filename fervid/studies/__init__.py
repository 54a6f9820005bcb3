"""Studies: windows around events, baselines, groups and agreement with human coders, from results.

The package is not called ``study``, because that name is a function of the public API, and Python would replace the
function by the package when one of its modules is imported.
"""
