"""The backends as operators of torch, which autograd, torch.compile, vmap and export know.

`torch.ops.kernels.chunked_attention` and `torch.ops.kernels.triton_attention` share one schema,
shape function, gradient and rule for batches; their backward passes are operators too
(`..._backward`), which cannot be differentiated again.  `sum_keys` and `read_state` are the halves
of non-causal attention, `triton_step` and `triton_step_` one token of the recurrence.

Autocast casts none of the arguments, and is off inside.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from . import chunked
from .precision import without_autocast

# "kernels" here: a copy of the package under another name registers operators of its own.
_NAMESPACE = __name__.rpartition(".")[0].replace(".", "_")
_Function = Callable[..., Any]


def _register(
    name: str,
    schema: str,
    function: _Function,
    shapes: _Function,
    *,
    save: _Function | None = None,
    gradients: _Function | None = None,
) -> _Function:
    """Register `function`; return a function that calls it, under torch.func's transforms too.

    An operator of torch can have a gradient and a rule for batches, but torch.func cannot use
    them together; it can with an `autograd.Function` of the same parts.

    Args:
        shapes: the outputs without data (`register_fake`).
        save, gradients: `setup_context` and `backward`; without them the gradient is refused.
    """

    def exact(*arguments: Any) -> Any:
        device = next(x.device for x in arguments if isinstance(x, Tensor))
        with without_autocast(device):
            return function(*arguments)

    def refuse(*_: object) -> None:
        raise RuntimeError(f"{_NAMESPACE}::{name} cannot be differentiated")

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            return operator(*arguments)
        return function_of_parts.apply(*arguments)

    save, gradients, rule = save or (lambda *_, **__: None), gradients or refuse, _batched(call)
    operator = custom_op(f"{_NAMESPACE}::{name}", exact, mutates_args=(), schema=schema)
    operator.register_fake(shapes)
    operator.register_vmap(rule)
    operator.register_autograd(gradients, setup_context=save)
    parts = {"forward": operator, "setup_context": save, "backward": gradients, "vmap": rule}
    function_of_parts: Any = type(
        name, (torch.autograd.Function,), {part: staticmethod(f) for part, f in parts.items()}
    )
    return call


def _batched(call: _Function) -> _Function:
    """vmap for an operator whose tensors all have the batch first: the two batches become one."""

    def rule(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        size = info.batch_size
        within = _batch(arguments[0], in_dims[0])
        outputs = call(*(_fold(x, dim, size) for x, dim in zip(arguments, in_dims, strict=True)))
        batched = [x.dim() > 1 for x in outputs]  # all but the empty gradient of no encoder
        unfolded = (
            x.unflatten(0, (size, within)) if has_batch else x
            for x, has_batch in zip(outputs, batched, strict=True)
        )
        return tuple(unfolded), tuple(0 if has_batch else None for has_batch in batched)

    return rule


def _batch(x: Tensor, dim: int | None) -> int:
    """B of x, whose axis `dim` is vmap's."""
    return x.shape[1 if dim == 0 else 0]


def _fold(x: Any, dim: int | None, size: int) -> Any:
    if not isinstance(x, Tensor):
        return x
    x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return x.flatten(0, 1)


_ATTENTION_INPUTS = (
    "Tensor q, Tensor k, Tensor v, Tensor? k_enc, Tensor? v_enc, Tensor? mask, "
    "Tensor? kv, Tensor? z"
)


def _attention(name: str, forward: _Function, backward: _Function) -> _Function:
    """`forward` and `backward`, with the signatures of those in `chunked`, as operators."""
    backward_call = _attention_backward(f"{name}_backward", backward)

    def shapes(q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, ...]:
        return v.new_empty(v.shape), chunked.per_query(q), *chunked.empty_state(q, v)

    def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.scale = inputs
        y, denominators, _, _ = output
        ctx.encoder, ctx.continued = tensors[3] is not None, tensors[6] is not None
        ctx.save_for_backward(*tensors, y, denominators)
        ctx.mark_non_differentiable(denominators)

    def gradients(
        ctx: Any, dy: Tensor, _: Tensor, dkv_out: Tensor, dz_out: Tensor
    ) -> tuple[Tensor | None, ...]:
        dq, dk, dv, dk_enc, dv_enc, dkv, dz = backward_call(
            dy, dkv_out, dz_out, *ctx.saved_tensors, ctx.scale
        )
        encoder = (dk_enc, dv_enc) if ctx.encoder else (None, None)
        state = (dkv, dz) if ctx.continued else (None, None)
        return dq, dk, dv, *encoder, None, *state, None

    return _register(
        name,
        f"({_ATTENTION_INPUTS}, float scale) -> (Tensor, Tensor, Tensor, Tensor)",
        forward,
        shapes,
        save=save,
        gradients=gradients,
    )


def _attention_backward(name: str, backward: _Function) -> _Function:
    def without_none(*arguments: Any) -> tuple[Tensor, ...]:
        """An operator cannot return None: an argument that is None has an empty gradient."""
        like: Tensor = arguments[0]
        return tuple(like.new_empty(0) if x is None else x for x in backward(*arguments))

    def shapes(
        dy: Tensor,
        dkv_out: Tensor,
        dz_out: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        k_enc: Tensor | None,
        v_enc: Tensor | None,
        *_: object,
    ) -> tuple[Tensor, ...]:
        given = (q, k, v, k_enc, v_enc)
        like = (dy.new_empty(0) if x is None else x.new_empty(x.shape) for x in given)
        return *like, *chunked.empty_state(q, v)

    return _register(
        name,
        f"(Tensor dy, Tensor dkv_out, Tensor dz_out, {_ATTENTION_INPUTS}, Tensor y, "
        "Tensor denominators, float scale) -> "
        "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
        without_none,
        shapes,
    )


def _sum_keys() -> _Function:
    """`chunked.sum_keys` and its gradient."""
    keys = "Tensor k, Tensor v, Tensor? mask"
    backward = _register(
        "sum_keys_backward",
        f"(Tensor dkv, Tensor dz, {keys}, float scale) -> (Tensor, Tensor)",
        chunked.sum_keys_backward,
        lambda dkv, dz, k, v, mask, scale: (k.new_empty(k.shape), v.new_empty(v.shape)),
    )

    def save(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:
        k, v, mask, kv, _, ctx.scale = inputs
        ctx.continued = kv is not None
        ctx.save_for_backward(k, v, mask)

    def gradients(ctx: Any, dkv: Tensor, dz: Tensor) -> tuple[Tensor | None, ...]:
        dk, dv = backward(dkv, dz, *ctx.saved_tensors, ctx.scale)
        return dk, dv, None, *((dkv, dz) if ctx.continued else (None, None)), None

    return _register(
        "sum_keys",
        f"({keys}, Tensor? kv, Tensor? z, float scale) -> (Tensor, Tensor)",
        chunked.sum_keys,
        lambda k, v, *_: chunked.empty_state(k, v),
        save=save,
        gradients=gradients,
    )


def _read_state() -> _Function:
    """`chunked.read_state` and its gradient."""
    backward = _register(
        "read_state_backward",
        "(Tensor dy, Tensor q, Tensor kv, Tensor z, Tensor y, Tensor denominators, "
        "float scale) -> (Tensor, Tensor, Tensor)",
        chunked.read_state_backward,
        lambda dy, q, kv, z, *_: tuple(x.new_empty(x.shape) for x in (q, kv, z)),
    )

    def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.scale = inputs
        ctx.save_for_backward(*tensors, *output)
        ctx.mark_non_differentiable(output[1])

    def gradients(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *backward(dy, *ctx.saved_tensors, ctx.scale), None

    return _register(
        "read_state",
        "(Tensor q, Tensor kv, Tensor z, float scale) -> (Tensor, Tensor)",
        chunked.read_state,
        lambda q, kv, z, scale: (q.new_empty(*q.shape[:3], kv.shape[-1]), chunked.per_query(q)),
        save=save,
        gradients=gradients,
    )


def _fused() -> Any:
    """The fused backend; it imports triton, so not before a call needs it."""
    from . import fused

    return fused


def _step(q: Tensor, k: Tensor, v: Tensor, kv: Tensor, z: Tensor, scale: float) -> Any:
    kv_out, z_out = torch.empty_like(kv), torch.empty_like(z)
    return _fused().step(q, k, v, kv, z, kv_out, z_out, scale), kv_out, z_out


def _step_in_place(q: Tensor, k: Tensor, v: Tensor, kv: Tensor, z: Tensor, scale: float) -> Any:
    return _fused().step(q, k, v, kv, z, kv, z, scale)


chunked_attention = _attention("chunked_attention", chunked.forward, chunked.backward)
triton_attention = _attention(
    "triton_attention",
    lambda *arguments: _fused().forward(*arguments),
    lambda *arguments: _fused().backward(*arguments),
)
sum_keys = _sum_keys()
read_state = _read_state()
triton_step = _register(
    "triton_step",
    "(Tensor q, Tensor k, Tensor v, Tensor kv, Tensor z, float scale) -> (Tensor, Tensor, Tensor)",
    _step,
    lambda q, k, v, kv, z, scale: tuple(torch.empty_like(x) for x in (v, kv, z)),
)
triton_step_ = custom_op(
    f"{_NAMESPACE}::triton_step_",
    _step_in_place,
    mutates_args=("kv", "z"),
    schema="(Tensor q, Tensor k, Tensor v, Tensor(a!) kv, Tensor(b!) z, float scale) -> Tensor",
)
triton_step_.register_fake(lambda q, k, v, kv, z, scale: torch.empty_like(v))
