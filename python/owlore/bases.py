"""The basis of a gradient: orthonormal columns that span its leading singular vectors, the left ones or the right ones."""

from typing import Optional

import torch

# Multiplications by the Gram matrix before the last one, as src/owlore/optimizer/state/basis.ts has them.
COLD_START = 3
WARM_START = 1
SEED = 240518380


def new_basis(
    kind: str, gradient: torch.Tensor, rank: int, side: str, previous: Optional[torch.Tensor]
) -> torch.Tensor:
    """P [m, rank] of a gradient, where m is the number of its rows (`left`) or columns (`right`).

    `svd`: exact, by an SVD, in float64 without a GPU. `randomized`: by subspace iteration, from `previous` if there is one.
    """
    matrix = gradient if side == "left" else gradient.t()
    return (exact if kind == "svd" else randomized)(matrix, rank, previous)


def exact(matrix: torch.Tensor, rank: int, previous: Optional[torch.Tensor]) -> torch.Tensor:
    """The leading left singular vectors, each with the sign of the one in its place before: moments that stay do not turn round."""
    precise = matrix.double() if matrix.device.type == "cpu" else matrix
    vectors = torch.linalg.svd(precise, full_matrices=False).U[:, :rank].to(matrix.dtype)
    if previous is not None:
        vectors = torch.where((vectors * previous).sum(dim=0) >= 0, vectors, -vectors)
    return vectors.contiguous()


def randomized(matrix: torch.Tensor, rank: int, previous: Optional[torch.Tensor]) -> torch.Tensor:
    """Randomised subspace iteration (Halko, Martinsson & Tropp 2011, Alg. 4.4)."""
    scaled = matrix / matrix.abs().max().clamp_min(torch.finfo(matrix.dtype).tiny)
    generator = torch.Generator().manual_seed(SEED)
    random = (torch.rand(matrix.shape[0], rank, generator=generator) * 2 - 1).to(matrix)
    basis = random if previous is None else previous
    for _ in range(COLD_START if previous is None else WARM_START):
        basis = torch.linalg.qr(scaled @ (scaled.t() @ basis)).Q
    image = scaled @ (scaled.t() @ basis)
    longest = image.abs().amax(dim=0).clamp_min(torch.finfo(matrix.dtype).tiny)
    # where the gradient has fewer directions than the rank, the rest is random
    return torch.linalg.qr(image / longest + random * 1e-6).Q.contiguous()
