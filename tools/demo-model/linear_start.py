"""Owns the autoencoder's starting weights: a plain box-down, smooth-up colour path that training then refines."""

import torch

GROUPS = 4  # of every group norm; each group carries one signal: red, green, blue, detail
SMOOTH = torch.tensor([0.25, 0.5, 0.25])


def roles(channels):
    """Per group the channels that carry the signal, its negative, and the constants +1 and -1 (they fix the norm's scale)."""
    width = channels // GROUPS
    return [tuple(group * width + index for index in range(4)) for group in range(GROUPS)]


def _kernel(conv, kind):
    kernel = torch.zeros(conv.kernel_size)
    if kind == "half":
        kernel[:2, :2] = 0.25
    elif kind == "smooth":
        kernel[:] = SMOOTH[:, None] * SMOOTH[None]
    else:
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1.0
    return kernel


def _pass_on(conv, kind):
    """Every role goes on to the same role; the other channels keep their random start."""
    kernel = _kernel(conv, kind)
    for sources, targets in zip(roles(conv.in_channels), roles(conv.out_channels)):
        for source, target in zip(sources, targets):
            conv.weight[target], conv.bias[target] = 0.0, 0.0
            conv.weight[target, source] = kernel


def _enter(conv):
    """Input channel g becomes signal g and its negative."""
    kernel = _kernel(conv, "same")
    for group, (plus, minus, one, minus_one) in enumerate(roles(conv.out_channels)):
        for row in (one, minus_one):
            conv.weight[row] = 0.0
        conv.bias[one], conv.bias[minus_one] = 1.0, -1.0
        if group < conv.in_channels:
            conv.weight[plus], conv.bias[plus] = 0.0, 0.0
            conv.weight[plus, group] = kernel
        conv.weight[minus], conv.bias[minus] = -conv.weight[plus], -conv.bias[plus]


def _leave(conv, count):
    """Output g is silu(x) - silu(-x) = x of signal g."""
    for group, (plus, minus, _, _) in enumerate(roles(conv.in_channels)[:count]):
        conv.weight[group] *= 0.2
        conv.weight[group, plus] += 0.8 * _kernel(conv, "same")
        conv.weight[group, minus] -= 0.8 * _kernel(conv, "same")
        conv.bias[group] = 0.0


def _coder(coder, sampler, kind):
    for module in coder.modules():
        name = type(module).__name__
        if name == "ResnetBlock2D":
            module.conv2.weight.zero_(), module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                _pass_on(module.conv_shortcut, "same")
        elif name == "Attention":
            module.to_out[0].weight.zero_(), module.to_out[0].bias.zero_()
        elif name == sampler:
            _pass_on(module.conv, kind)
    _enter(coder.conv_in)


@torch.no_grad()
def start(vae):
    """Sets the weights in place."""
    _coder(vae.encoder, "Downsample2D", "half")
    _leave(vae.encoder.conv_out, 4)
    vae.encoder.conv_out.weight[4:], vae.encoder.conv_out.bias[4:] = 0.0, -4.0
    for conv in (vae.quant_conv, vae.post_quant_conv):
        torch.nn.init.dirac_(conv.weight), torch.nn.init.zeros_(conv.bias)
    _coder(vae.decoder, "Upsample2D", "smooth")
    _leave(vae.decoder.conv_out, 3)
