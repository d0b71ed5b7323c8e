"""What scores texts: models of any kind read back, their log p, mixtures of them."""
