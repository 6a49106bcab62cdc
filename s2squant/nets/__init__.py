"""Networks in torch alone: encoders, attention, decoders, heads, tokens, latent codes, training."""
