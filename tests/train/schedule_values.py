"""Prints torch's learning rates for tests/train/schedule_values.h (needs PyTorch).

    python3 tests/train/schedule_values.py > tests/train/schedule_values.h
"""

import torch


def rates(make, steps, rate=0.1):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=rate)
    scheduler = make(optimizer, steps)
    out = []
    for _ in range(steps):
        out.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return out


lr = torch.optim.lr_scheduler
print("/* Written by schedule_values.py: torch.optim.lr_scheduler's rates, peak or first rate 0.1. */")
for name, make in {
    "ONECYCLE": lambda o, n: lr.OneCycleLR(o, max_lr=0.1, total_steps=n),
    "COSINE": lambda o, n: lr.CosineAnnealingLR(o, T_max=n),
    "PAPER": lambda o, n: lr.MultiStepLR(o, [n * 3 // 10, n * 6 // 10, n * 8 // 10], gamma=0.2),
}.items():
    for steps in (20, 50):
        values = ", ".join(f"{v:.17g}" for v in rates(make, steps))
        print(f"#define {name}_{steps} {{{values}}}")
