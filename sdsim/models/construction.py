"""Modules that a config names by import path, and how they are built from it.

A class or function of one's own is called with keyword arguments: what the names of its parameters
ask for, and the config's own ``arguments``. So ``def __init__(self, width, heads)`` needs nothing
said, and neither do the layers of `fla`, whose ``hidden_size`` and ``num_heads`` are the same by
other names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from torch import nn

from sdsim.config import ModelConfig, ModuleConfig

SYNONYMS = {
    "width": ("hidden_size", "d_model", "embed_dim", "dim"),
    "heads": ("num_heads", "n_heads", "nhead", "num_attention_heads"),
    "depth": ("num_layers", "n_layers", "num_hidden_layers"),
    "vocab_size": ("n_tokens", "num_tokens"),
}
"""Other names that parameters of modules have for what a config says."""


def import_object(option: str, path: str) -> Any:
    """What stands at ``"package.module.name"``.

    Args:
        option: the config option that holds the path, for errors.
        path: the import path.

    Raises:
        ValueError: naming the option, if the module or the name in it cannot be found.
    """
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"{option} = {path!r}: must be an import path package.module.ClassName")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{option} = {path!r}: cannot be imported ({error})") from error
    except AttributeError as error:
        raise ValueError(f"{option} = {path!r}: {module} has no {name}") from error


def import_class(option: str, path: str) -> type[Any]:
    """The class at ``"package.module.ClassName"``; arguments and errors as `import_object`."""
    found = import_object(option, path)
    if not isinstance(found, type):
        raise ValueError(f"{option} = {path!r}: not a class")
    return found


def known_arguments(config: ModelConfig | ModuleConfig, **more: Any) -> dict[str, Any]:
    """What parameters of a module may ask for: the config's fields and more, synonyms included."""
    named = {"config": config, **asdict(config), **more}
    synonyms = {
        other: named[name] for name, others in SYNONYMS.items() if name in named for other in others
    }
    return {**synonyms, **named}


def construct(
    option: str,
    path: str,
    build: Callable[..., Any],
    known: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> nn.Module:
    """The module that a class or function of one's own makes.

    Args:
        option, path: that named it, for errors.
        build: the class or function.
        known: what its parameters may ask for by name, see `known_arguments`.
        arguments: what it gets in any case; these go before.

    Raises:
        ValueError: naming what is wrong: it needs an argument that nobody gave, does not take one
            that was given, fails, or makes no `torch.nn.Module`.

    >>> construct("model.mixers", "torch.nn.Softmax", nn.Softmax, {"width": 8}, {"dim": 1})
    Softmax(dim=1)
    """
    where = f"{option} = {path!r}"
    if not callable(build):
        raise ValueError(f"{where}: neither a class nor a function")
    try:
        parameters = inspect.signature(build).parameters.values()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: its parameters cannot be found ({error})") from error
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    by_name = {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if not takes_any and (surplus := arguments.keys() - by_name.keys()):
        raise ValueError(f"{where}: it takes no {min(surplus)}; it takes {', '.join(by_name)}")
    given = {name: known[name] for name in by_name if name in known} | dict(arguments)
    for name, parameter in by_name.items():
        if name not in given and parameter.default is parameter.empty:
            raise ValueError(
                f"{where}: it needs {name}, which the model's config does not say; give "
                f"+model.arguments.{name}=…"
            )
    try:
        module = build(**given)
    except Exception as error:  # whatever code that is not ours raises
        said = " ".join(f"{error}".split())
        raise ValueError(f"{where}: it cannot be built ({type(error).__name__}: {said})") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{where}: it makes a {type(module).__name__}, not a torch.nn.Module")
    return module


def first_tensor(option: str, path: str, output: Any) -> Any:
    """The output of a module that may return more: a tuple's first, or the ``logits`` of a record.

    Layers of `fla` and `transformers` return tuples (output, attention weights, cache), whole
    models of `transformers` records with the field ``logits``.

    Raises:
        ValueError: if there is no tensor.
    """
    from torch import Tensor

    found = getattr(output, "logits", output)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise ValueError(f"{option} = {path!r}: it returns a {type(output).__name__}, not a tensor")
    return found
