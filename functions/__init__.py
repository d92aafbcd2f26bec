"""One folder per unit of trust; deployments.yaml lists how each is deployed."""
