"""train: a dataset to a training job."""
