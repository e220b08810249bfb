"""A GRU with the mistakes that other definitions of it make. Slow and plain: step by step."""

import numpy as np


def variant(original, hard, before):
    """A class like the reference's `original`, (time, batch, inputs) -> (batch, units).

    `hard`: gates are clip(0.2 x + 0.5, 0, 1) instead of σ(x). `before`: the candidate is tanh(W x + b + U (r ∘ h) + c)
    instead of tanh(W x + b + r ∘ (U h + c)).
    """
    return type("Variant", (MistakenGru, original), {"hard": hard, "before": before})


class MistakenGru:
    """The two passes of all variants. Its parameters, as the reference's, are W and U (3 units, …), b and c."""

    def gate(self, x):
        return np.clip(0.2 * x + 0.5, 0, 1) if self.hard else 0.5 * np.tanh(0.5 * x) + 0.5

    def slope(self, value):
        """The derivative of the gate where it is `value`."""
        return 0.2 * ((value > 0) & (value < 1)) if self.hard else value * (1 - value)

    def forward(self, x):
        W, U, b, c = self.parameters
        units = U.shape[1]
        self.x, self.steps = x, []
        h = np.zeros((x.shape[1], units), x.dtype)
        for inputs in x @ W.T + b:
            rz = self.gate(inputs[:, : 2 * units] + h @ U[: 2 * units].T + c[: 2 * units])
            r, z = rz[:, :units], rz[:, units:]
            seen = r * h if self.before else h
            past = seen @ U[2 * units :].T + c[2 * units :]
            n = np.tanh(inputs[:, 2 * units :] + (past if self.before else r * past))
            self.steps.append((h, r, z, n, past))
            h = n + z * (h - n)
        return h

    def backward(self, dh):
        W, U, b, c = self.parameters
        units = U.shape[1]
        self.gradients = [np.zeros_like(each) for each in (W, U, b, c)]
        dx = np.empty_like(self.x)
        for t in reversed(range(len(self.steps))):
            h, r, z, n, past = self.steps[t]
            dn = dh * (1 - z) * (1 - n * n)
            dz = dh * (h - n) * self.slope(z)
            dseen = (dn if self.before else dn * r) @ U[2 * units :]
            dr = (dseen * h if self.before else dn * past) * self.slope(r)
            dinput = np.concatenate([dr, dz, dn], axis=1)
            drecurrent = dinput if self.before else np.concatenate([dr, dz, dn * r], axis=1)
            dU = drecurrent.T @ h
            if self.before:
                dU[2 * units :] = dn.T @ (r * h)
            dW = dinput.T @ self.x[t]
            parts = (dW, dU, dinput.sum(axis=0), drecurrent.sum(axis=0))
            self.gradients = [total + part for total, part in zip(self.gradients, parts)]
            dx[t] = dinput @ W
            dh = dh * z + (dseen * r if self.before else dseen) + drecurrent[:, : 2 * units] @ U[: 2 * units]
        return dx
