"""MaaS API: the control plane of a Models-as-a-Service gateway."""

__version__ = "0.1.0"
