"""Owns what both training scripts share: device, workers, schedule, moving average, checkpoints, log. What is learnt is left to the scripts."""

import copy
import json
import math
import os
import time

import torch


def pick_device():
    """A GPU where there is one, else the CPU with both its cores."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(max(1, min(2, os.cpu_count() or 1) // worker()[1]))
    return torch.device("cpu")


def worker():
    """This process's number and how many there are: (0, 1) unless started by torchrun."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def join_workers():
    """Connects the workers that torchrun started."""
    if worker()[1] > 1:
        torch.distributed.init_process_group("gloo")


def barrier():
    """Waits for all workers."""
    if worker()[1] > 1:
        torch.distributed.barrier()


def share_weights(module):
    """Gives every worker the first one's weights."""
    if worker()[1] > 1:
        for parameter in module.parameters():
            torch.distributed.broadcast(parameter.data, 0)


def sum_over_workers(tensor):
    """Replaces a tensor by its sum over all workers, in place."""
    if worker()[1] > 1:
        torch.distributed.all_reduce(tensor)


def share_gradients(parameters):
    """Averages the gradients over all workers, in place. Two workers of one thread stall less on a busy
    machine than one worker of two threads, which waits for the slower thread in every layer."""
    count = worker()[1]
    if count == 1:
        return
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    sum_over_workers(flat)
    offset = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad.copy_(flat[offset:offset + size].view_as(parameter.grad) / count)
        offset += size


def learning_rate(step, total, peak, warmup, decay):
    """Linear warm-up, a plateau, then half a cosine down to 2 % over the last `decay` steps."""
    if step < warmup:
        return peak * (step + 1) / warmup
    left = total - step
    if left >= decay:
        return peak
    return peak * (0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * max(left, 0) / decay)))


class MovingAverage:
    """Exponential moving average of a module's weights, quick to follow at the start."""

    def __init__(self, module, decay):
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.module.parameters(), module.parameters()):
            mean.lerp_(value, 1 - decay)


class Log:
    """Appends one JSON line per report: step, seconds since the start of the run, running means."""

    def __init__(self, path, every=50):
        self.path, self.every, self.start, self.sums, self.count = path, every, time.time(), {}, 0

    def add(self, step, values):
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1
        if (step + 1) % self.every == 0:
            means = {name: round(total / self.count, 5) for name, total in self.sums.items()}
            line = json.dumps({"step": step + 1, "seconds": round(time.time() - self.start, 1), **means})
            print(line, flush=True)
            with open(self.path, "a") as file:
                file.write(line + "\n")
            self.sums, self.count = {}, 0


def save_checkpoint(path, **parts):
    """Writes a checkpoint so that a kill in between leaves the old one whole."""
    torch.save(parts, f"{path}.part")
    os.replace(f"{path}.part", path)
