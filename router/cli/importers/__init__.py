"""Importers: rules files from the configuration of other programs."""
