"""Exact instructions and modelled cycles of a build on an emulated core: unicorn for Arm, QEMU for the rest."""
