"""What retrains the model: export, train and deploy, each started by the one before it."""
