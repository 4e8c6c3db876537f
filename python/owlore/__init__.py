"""OwLore and the methods beside it in PyTorch, step by step as tfjs-owlore has them."""
