"""The source of a static subnet: one readable file with a plain ``torch.nn.Module``, that needs torch alone.

Each module's own forward pass is traced with its children as they are, so that what is alike becomes one class, and
what differs, such as widths and kernels, stands where the network is put together. Names of tensors stay.
"""

from __future__ import annotations

import ast
import copy
import inspect
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from supernet.errors import InputError

NETWORK_CLASS = "Network"
DOCSTRING = '''"""{about}

    import torch
    from safetensors.torch import load_file

    network = build()
    network.load_state_dict(load_file("weights.safetensors"))
    logits = network.eval()(images)  # {shape} float32

It needs torch alone. ``predict.py`` and ``card.json`` say how an image becomes an input.
"""

import torch
from torch import nn

'''
INDENT = 4


class Untraceable(InputError):
    """A network whose forward pass depends on its input has no plain source."""


@dataclass
class Sources:
    """The classes that were met, by what they do."""

    names: dict[tuple[str, ...], str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def class_of(self, module: nn.Module, wanted: str) -> str:
        """The name of the class that runs ``module``, which is written where none does yet."""
        forward, children = forward_of(module), tuple(name for name, _ in module.named_children())
        what = (wanted, forward, *children)
        if what not in self.names:
            alike = sum(known == wanted for known, *_ in self.names)
            self.names[what] = f"{wanted}{alike + 1}" if alike else wanted
            self.texts.append(class_text(self.names[what], forward, children))
        return self.names[what]


def source_of(subnet: nn.Module, about: str, channels: int, resolution: int) -> str:
    """A module's text whose ``build()`` gives the network of ``subnet``, with the same names of tensors.

    Raises Untraceable where the forward pass of a part depends on its input, or parts hold tensors of their own.
    """
    sources = Sources()
    made = expression(subnet, sources, 1, NETWORK_CLASS)
    head = DOCSTRING.format(about=about, shape=f"(n, {channels}, {resolution}, {resolution})")
    build = f'def build():\n    """The network with untrained weights."""\n    return {made}\n'
    return "\n\n".join([head.rstrip("\n") + "\n", *sources.texts, build])


def built_from(source: str, where: str = "network.py") -> nn.Module:
    """What ``build()`` of a text gives, which must be one that :func:`source_of` made just now."""
    names: dict[str, object] = {"__name__": "network"}
    exec(compile(source, where, "exec"), names)
    build = names["build"]
    assert callable(build)
    made = build()
    assert isinstance(made, nn.Module)
    return made


@torch.no_grad()
def check_source(source: str, subnet: nn.Module, images: Tensor) -> None:
    """Raises Untraceable where the network in a text has other tensors than ``subnet``, or answers otherwise."""
    found = built_from(source)
    try:
        found.load_state_dict(subnet.state_dict(), strict=True)
    except RuntimeError as error:
        raise Untraceable(f"the source of the network has other tensors than the network: {error}") from error
    exact, same = (net.eval().double()(images.double()) for net in (found, copy.deepcopy(subnet)))
    if exact.shape != same.shape or not torch.allclose(
        exact, same, rtol=1e-9, atol=1e-9
    ):  # kernels differ by how weights lie in memory
        raise Untraceable("the source of the network answers otherwise than the network")


def expression(module: nn.Module, sources: Sources, depth: int, wanted: str | None = None) -> str:
    """How ``module`` is made, as Python."""
    if is_torchs(module) and not list(module.children()):
        return leaf(module)
    children = {name: expression(child, sources, depth + 1) for name, child in module.named_children()}
    numbered = are_numbered(list(children))
    if numbered and isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return call("nn.Sequential", list(children.values()), depth)
    if numbered and type(module) is nn.ModuleList:
        return module_list(list(children.values()), depth)
    if odd := [name for name in children if not name.isidentifier()]:
        raise Untraceable(f"{type(module).__name__} has a part called {odd[0]!r}, which is no name in Python")
    check_no_tensors(module)
    name = sources.class_of(module, wanted or type(module).__name__)
    return call(name, [f"{child}={made}" for child, made in children.items()], depth)


def leaf(module: nn.Module) -> str:
    """One of torch's own modules, with the arguments that are not its defaults: other versions of torch have others."""
    shown = ast.parse(repr(module), mode="eval").body
    assert isinstance(shown, ast.Call)
    defaults = inspect.signature(type(module).__init__).parameters
    shown.keywords = [
        keyword
        for keyword in shown.keywords
        if keyword.arg is None
        or keyword.arg not in defaults
        or not is_default(keyword.value, defaults[keyword.arg].default)
    ]
    return f"nn.{ast.unparse(shown)}"


def is_default(given: ast.expr, default: object) -> bool:
    """Whether a literal is a default; (1, 1) is 1 for each side."""
    value = ast.literal_eval(given)
    return value == default or (isinstance(value, tuple) and set(value) == {default})


def is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.")


def check_no_tensors(module: nn.Module) -> None:
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    if own:
        raise Untraceable(f"{type(module).__name__} holds a tensor of its own, {own[0][0]}")


def call(name: str, arguments: list[str], depth: int) -> str:
    """A call in one line where it fits, else with a line for each argument."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) + INDENT * depth <= 110 and "\n" not in line:
        return line
    inner, outer = " " * INDENT * (depth + 1), " " * INDENT * depth
    return f"{name}(\n" + "".join(f"{inner}{argument},\n" for argument in arguments) + f"{outer})"


def are_numbered(names: list[str]) -> bool:
    return names == [str(i) for i in range(len(names))]


def module_list(entries: list[str], depth: int) -> str:
    inner, outer = " " * INDENT * (depth + 1), " " * INDENT * depth
    return "nn.ModuleList([\n" + "".join(f"{inner}{entry},\n" for entry in entries) + f"{outer}])"


class OfChildren(fx.Tracer):
    """Traces a module's own forward pass; what is below it is called as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def forward_of(module: nn.Module) -> str:
    """The forward pass of a module in terms of its children, as Python."""
    try:
        graph = OfChildren().trace(module)
    except Exception as error:  # torch.fx has no base for what it cannot trace
        raise Untraceable(f"the forward pass of {type(module).__name__} cannot be traced: {error}") from error
    return ast.unparse(Plainly().visit(ast.parse(graph.python_code("self").src.strip())))


class Plainly(ast.NodeTransformer):
    """Without what ``torch.fx`` adds for its own sake: deletions, annotations, other names for ``input``."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
            argument.arg = "x" if argument.arg == "input" else argument.arg
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("x", node.ctx) if node.id in ("input", "input_1") else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        self.generic_visit(node)
        match node:
            case (
                ast.Assign(value=ast.Constant(value=None))
                | ast.Assign(targets=[ast.Name(id="x")], value=ast.Name(id="x"))
            ):
                return None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        assert node.value is not None
        return ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[holder, ast.Constant(value=str(entry))]):
                return ast.Subscript(holder, ast.Constant(int(entry) if entry.isdigit() else entry))
        return node


def class_text(name: str, forward: str, children: tuple[str, ...]) -> str:
    arguments = ", ".join(["self", *children])
    kept = "".join(f"\n        self.{child} = {child}" for child in children)
    init = f"    def __init__({arguments}):\n        super().__init__(){kept}\n\n" if children else ""
    body = "\n".join(f"    {line}" for line in forward.splitlines())
    return f"class {name}(nn.Module):\n{init}{body}\n"
