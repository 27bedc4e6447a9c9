"""Cluster state as events: watched over the Kubernetes API, or read from a folder of manifests."""
