"""The learned world: V (a VAE), M (an MDN-RNN), their training, and the world-model artefact."""
