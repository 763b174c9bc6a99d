"""Owns the optimiser: Muon for the inner weight matrices, AdamW for all else."""

import torch

from training import sum_over_workers, worker

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Keller Jordan, "Muon", 2024


def orthogonal(matrix, rounds=5):
    """The nearest semi-orthogonal matrix, roughly, by a quintic Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal; scaled so that AdamW's learning rates fit (arXiv 2502.16982)."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    def update_of(self, parameter, momentum_rate):
        """The step's direction for one weight, its size fit for AdamW's learning rates."""
        momentum = self.state[parameter]["momentum"]
        matrix = parameter.grad.lerp(momentum, momentum_rate).flatten(1)
        return orthogonal(matrix).flatten() * (0.2 * max(matrix.shape) ** 0.5)

    @torch.no_grad()
    def step(self):
        number, count = worker()
        for group in self.param_groups:
            parameters = group["params"]
            flat = torch.zeros(sum(parameter.numel() for parameter in parameters), device=parameters[0].device)
            slots = flat.split([parameter.numel() for parameter in parameters])
            for index, (parameter, slot) in enumerate(zip(parameters, slots)):
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                if index % count == number:  # the workers share this, the dearest part of a step
                    slot.copy_(self.update_of(parameter, group["momentum"]))
            sum_over_workers(flat)
            for parameter, slot in zip(parameters, slots):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(slot.view_as(parameter), alpha=-group["lr"])


def is_inner(name, parameter):
    """Whether Muon takes a weight: matrices and convolutions, but neither embeddings nor the first and last layer."""
    return parameter.ndim >= 2 and not any(part in name for part in ("embeddings", "unet.conv_in", "unet.conv_out"))


class MuonWithAdamW:
    """Both optimisers behind one: the learning rate of a step goes to both."""

    def __init__(self, module, lr):
        named = list(module.named_parameters())
        inner = [parameter for name, parameter in named if is_inner(name, parameter)]
        rest = [parameter for name, parameter in named if not is_inner(name, parameter)]
        self.parts = [Muon(inner, lr), torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.99), weight_decay=0.01)]

    def step(self, lr):
        for part in self.parts:
            part.param_groups[0]["lr"] = lr
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self):
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)
