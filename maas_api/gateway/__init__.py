"""The request flow in front of the models: what each provider needs, for Envoy and for Istio with Kuadrant."""
