"""Faces, blur kernels, test sets and training views."""
