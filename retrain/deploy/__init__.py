"""deploy: a trained model to the endpoint, if it is better."""
