"""Deblurs the faces of photographs with a trained method."""
