"""DRAW, a recurrent network that paints (Gregor et al. 2015), and the VAE that it extends.

At each step an encoder looks at the picture and at what is missing from the canvas, a few numbers
z_t are drawn from what it says, and a decoder adds something to the canvas. Looking and painting go
through a small grid of Gaussian filters that the decoder places. What is minimised is the
variational bound: nats to tell a picture of zeros and ones.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells import Cell, lstm
from rnn_jax.layers import Layer, dense
from rnn_jax.models.banks import gaussians, look, paint
from rnn_jax.models.core import Model, lane_keys
from rnn_jax.unroll import unroll

Array = jax.Array

_EMPTY = -2.0  # log odds of ink where nothing has been painted, before it is learned
_DRAWS = 1  # where the latent noise is among a lane's keys


class Painting(NamedTuple):
    """Of each step: canvas [..., H, W], the log odds of a 1; kl [...], nats from the prior to z_t;
    told [...], nats to tell the picture by the last canvas (0 at the steps before it); grids
    [..., 2, 4], where was looked and painted: (y, x), half a grid's width, its filters' deviation
    in pixels.
    """

    canvas: Array
    kl: Array
    told: Array
    grids: Array


class Easel(NamedTuple):
    """What goes from step to step: the picture, the canvas, both states, the decoder's output."""

    image: Array
    canvas: Array
    encoder: Any
    decoder: Any
    output: Array


class Grid(NamedTuple):
    """Banks F_y [B, N, H] and F_x [B, N, W], an intensity [B, 1, 1], and `Painting.grids`."""

    F_y: Array
    F_x: Array
    intensity: Array
    place: Array


def grid(five: Array, count: int, sides: tuple[int, int]) -> Grid:
    """The five numbers [B, 5] that place N x N Gaussians: (y, x), log variance, log stride, log
    intensity. At zeros: the middle, a grid as wide as the picture's longer side, all else 1.
    """
    longest = max(sides)
    y, x = ((five[:, i] + 1) / 2 * (side + 1) - 1 for i, side in enumerate(sides))
    variance, stride = jnp.exp(five[:, 2]), jnp.exp(five[:, 3]) * (longest - 1) / max(count - 1, 1)
    F_y = gaussians(y, stride, variance, count, sides[0])
    F_x = gaussians(x, stride, variance, count, sides[1])
    half = stride * (count - 1) / 2
    place = jnp.stack([y, x, half, jnp.sqrt(variance)], axis=-1)
    return Grid(F_y, F_x, jnp.exp(five[:, 4])[:, None, None], place)


def divergence(mean: Array, log_sigma: Array) -> Array:
    """``KL(N(mean, sigma^2) || N(0, 1))``, summed over the last axis, in nats."""
    each = mean**2 + jnp.exp(2 * log_sigma) - 2 * log_sigma - 1
    return 0.5 * each.sum(-1)


def untold(canvas: Array, image: Array) -> Array:
    """``-log p(image)``, each pixel a coin with the canvas's log odds: [..., H, W] -> [...]."""
    return (jax.nn.softplus(canvas) - image * canvas).sum((-2, -1))


def draw_model(
    height: int, width: int, *, hidden: int = 128, latent: int = 12, read: int = 5, write: int = 5
) -> Model:
    """Pictures of 0 and 1 (the context, [B, H, W]) to a `Painting` [T, B]; inputs [T, B] only
    count the steps. From what `start` gives, where there is no picture, it paints one of its own:
    z_t is drawn from the prior.

    read, write: filters a side; 0 is no attention: all is read, and painted, at once. With no keys
    the noise is always the same.
    """
    cell = _painter((height, width), hidden, latent, (read, write))

    def condition(W: Any, context: Array, keys: Array | None) -> Easel:
        return cell.start(W, context.shape[0])._replace(image=context)

    def apply(
        W: Any, carry: Easel, xs: Array, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Easel, Painting]:
        carry, ys = unroll(cell, W, latent_noise(keys, *xs.shape[:2], latent), carry, **steps)
        return carry, _judged(ys, carry.image)

    return Model(cell.init, cell.start, apply, condition)


def vae_model(height: int, width: int, *, hidden: int, latent: int) -> Model:
    """The variational autoencoder (Kingma and Welling 2014) as a DRAW of one step (T = 1) that sees
    and paints everything at once: two layers of `hidden` ReLUs each way, no memory.
    """
    pixels = height * width
    sizes = {
        **{"seen": (pixels, hidden), "seen_up": (hidden, hidden), "latent": (hidden, 2 * latent)},
        **{"made": (latent, hidden), "made_up": (hidden, hidden), "paint": (hidden, pixels)},
    }
    layers = {name: dense(*size) for name, size in sizes.items()}

    def init(key: Array) -> dict:
        keys = jax.random.split(key, len(layers))
        return {name: one.init(k) for (name, one), k in zip(layers.items(), keys, strict=True)}

    def through(W: dict, x: Array, *names: str) -> Array:
        for name in names[:-1]:
            x = jax.nn.relu(layers[name].apply(W[name], x))
        return layers[names[-1]].apply(W[names[-1]], x)

    def start(W: dict, lanes: int) -> Easel:
        return Easel(None, jnp.zeros((lanes, height, width)), (), (), ())

    def condition(W: dict, context: Array, keys: Array | None) -> Easel:
        return start(W, context.shape[0])._replace(image=context)

    def apply(
        W: dict, carry: Easel, xs: Array, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Easel, Painting]:
        z = latent_noise(keys, *xs.shape[:2], latent)
        kl = jnp.zeros(z.shape[:2])
        if carry.image is not None:
            flat = carry.image.reshape(1, -1, pixels)
            mean, log_sigma = jnp.split(through(W, flat, "seen", "seen_up", "latent"), 2, axis=-1)
            z, kl = mean + jnp.exp(log_sigma) * z, divergence(mean, log_sigma)
        canvas = through(W, z, "made", "made_up", "paint").reshape(*z.shape[:2], height, width)
        grids = jnp.zeros((*z.shape[:2], 2, 4))
        return carry._replace(canvas=canvas[-1]), _judged(
            Painting(canvas, kl, kl, grids), carry.image
        )

    return Model(init, start, apply, condition)


def vae_hidden(parameters: int, pixels: int, latent: int) -> int:
    """The width H at which `vae_model` has as nearly so many parameters as it can."""
    linear, constant = 2 * pixels + 3 * latent + 4, 2 * latent + pixels - parameters
    return round((math.sqrt(linear**2 - 8 * constant) - linear) / 4)


def bound(painting: Painting, targets: Array) -> Array:
    """The variational bound on ``-log p(picture)``, ``sum_t KL_t - log p(picture | canvas_T)`` in
    nats, at the last step; 0 before it: [T, B].
    """
    return jnp.zeros_like(painting.kl).at[-1].set((painting.kl + painting.told).sum(0))


def _judged(ys: Painting, image: Array | None) -> Painting:
    """With what it takes to tell the picture, where there is one, by the last canvas."""
    told = jnp.zeros_like(ys.kl)
    return ys._replace(
        told=told if image is None else told.at[-1].set(untold(ys.canvas[-1], image))
    )


def latent_noise(keys: Array | None, T: int, lanes: int, latent: int) -> Array:
    """Standard normal [T, B, Z] by each lane's key, or always the same."""
    if keys is None:
        keys = jax.random.split(jax.random.key(0), lanes)
    keys = lane_keys(keys, _DRAWS)
    return jax.vmap(lambda key: jax.random.normal(key, (T, latent)), out_axes=1)(keys)


def _encoder(parts: dict[str, Cell | Layer], read: int, sides: tuple[int, int]) -> Callable:
    """The half of a step that looks at the picture."""

    def encode(w: dict, carry: Easel, noise: Array) -> tuple[Array, Array, Any, Array]:
        """z_t, its divergence, the encoder's state, and where was looked."""
        missing = carry.image - jax.nn.sigmoid(carry.canvas)
        at = grid(parts["read"].apply(w["read"], carry.output), max(read, 1), sides)
        both = jnp.stack([carry.image, missing], axis=1)
        if read:
            views = [at.intensity * look(at.F_y, image, at.F_x) for image in (carry.image, missing)]
            both = jnp.stack(views, axis=1)
        inputs = jnp.concatenate([both.reshape(len(noise), -1), carry.output], axis=-1)
        encoder = parts["encoder"]
        state, h = encoder.step(w["encoder"], carry.encoder, encoder.read(w["encoder"], inputs))
        mean, log_sigma = jnp.split(parts["latent"].apply(w["latent"], h), 2, axis=-1)
        return mean + jnp.exp(log_sigma) * noise, divergence(mean, log_sigma), state, at.place

    return encode


def _painter(sides: tuple[int, int], hidden: int, latent: int, counts: tuple[int, int]) -> Cell:
    """A step of DRAW as a cell whose inputs are noise, or where there is no picture the z_t."""
    read, write = counts
    seen = 2 * read**2 if read else 2 * math.prod(sides)
    painted = write**2 if write else math.prod(sides)
    parts: dict[str, Cell | Layer] = {
        **{"encoder": lstm(seen + hidden, hidden), "decoder": lstm(latent, hidden)},
        **{"latent": dense(hidden, 2 * latent), "paint": dense(hidden, painted)},
        **{"read": dense(hidden, 5), "write": dense(hidden, 5)},
    }

    def init(key: Array) -> dict:
        keys = jax.random.split(key, len(parts))
        w = {name: part.init(k) for (name, part), k in zip(parts.items(), keys, strict=True)}
        return w | {"canvas": jnp.full(sides, _EMPTY), "h_0": jnp.zeros(hidden)}

    def start(w: dict, lanes: int) -> Easel:
        states = [parts[name].start(w[name], lanes) for name in ("encoder", "decoder")]
        canvas = jnp.broadcast_to(w["canvas"], (lanes, *sides))
        return Easel(None, canvas, *states, jnp.broadcast_to(w["h_0"], (lanes, hidden)))

    encode = _encoder(parts, read, sides)

    def step(w: dict, carry: Easel, noise: Array) -> tuple[Easel, Painting]:
        z, kl = noise, jnp.zeros(len(noise), noise.dtype)
        state, looked = carry.encoder, jnp.zeros((len(noise), 4), noise.dtype)
        if carry.image is not None:
            z, kl, state, looked = encode(w, carry, noise)
        decoder = parts["decoder"]
        after, h = decoder.step(w["decoder"], carry.decoder, decoder.read(w["decoder"], z))
        at = grid(parts["write"].apply(w["write"], h), max(write, 1), sides)
        stroke = parts["paint"].apply(w["paint"], h)
        if write:
            stroke = paint(at.F_y, stroke.reshape(-1, write, write), at.F_x) * (1 / at.intensity)
        canvas = carry.canvas + stroke.reshape(carry.canvas.shape)
        grids = jnp.stack([looked, at.place], axis=1)
        return Easel(carry.image, canvas, state, after, h), Painting(canvas, kl, kl, grids)

    return Cell(init, start, lambda w, x: x, step)
