"""Reading the data in a pickle without running it.

A pickle is a program that may call anything, so Python's unpickler is not used. This interpreter knows the
instructions that build numbers, text, lists, dictionaries and arrays. Any other instruction, and any name but NumPy's
few, is an error. Arrays come out as PlainArray: no code of NumPy runs on what a stranger wrote.

The instructions: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

_MOST_INSTRUCTIONS = 1_000_000  # a batch of CIFAR-10 has 40,000


@dataclass(kw_only=True)
class PlainArray:
    """An array as a pickle describes it; `dtype` is NumPy's name of a type, such as "u1"."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    fortran_order: bool = False
    data: bytes = b""


@dataclass(kw_only=True)
class _Dtype:
    name: str


class _Name(NamedTuple):
    """A function or class that a pickle asks for. It is never looked up."""

    path: str


def load(data: bytes) -> Any:
    """Return what a pickle holds. Raises ValueError for everything but plain data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escape sequences in a text of the pickle
        return _run(data)


def _run(data: bytes) -> Any:
    machine = _Machine()
    stream = io.BytesIO(data)
    instructions = pickletools.genops(stream)
    try:
        for _ in range(_MOST_INSTRUCTIONS):
            code = data[stream.tell() : stream.tell() + 1].decode("latin-1")
            if code not in _ALLOWED:
                raise ValueError(f"it has the instruction {code!r}, which data do not need")
            opcode, argument, _ = next(instructions)
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.run(opcode.name, argument)
    except (IndexError, KeyError, TypeError, AttributeError, StopIteration, UnicodeError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    raise ValueError(f"it has more than {_MOST_INSTRUCTIONS:,} instructions")


class _Machine:
    """The stack of values, the stacks that MARK set aside, and the values stored by number."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Run one instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ARGUMENTS:
            self.stack.append(argument)
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        else:
            _METHODS[name](self, argument)

    def mark(self, _: Any) -> None:
        self._outer.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._outer.pop()
        return items

    def put(self, number: int | None) -> None:
        self._memo[len(self._memo) if number is None else number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.stack.append(self._memo[number])

    def tuple_(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append(tuple(items))

    def append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to something that is not a list")
        self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def set_items(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Keys are text, so that hashing one cannot run through a very deep value.
            if type(target) is not dict or type(key) not in {str, bytes, int}:
                raise ValueError("it has a dictionary whose keys are not text")
            target[key] = value

    def name(self, argument: str) -> None:
        self._name(argument.replace(" ", "."))

    def stack_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("it asks for something without a name")
        self._name(f"{module}.{name}")

    def _name(self, path: str) -> None:
        path = path.replace("numpy._core.", "numpy.core.")
        if path not in _KNOWN:
            raise ValueError(f"it asks for {path!r:.100}, which data do not need; nothing of it was run")
        self.stack.append(_Name(path))

    def call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if type(called) is not _Name or type(arguments) is not tuple:
            raise ValueError("it calls something that is not a function")
        self.stack.append(_KNOWN[called.path](*arguments))

    def build(self, _: Any) -> None:
        """Give an array its content; the rest of a type's state, such as its alignment, is not needed."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is PlainArray and type(state) is tuple:
            _, shape, dtype, fortran_order, data = state
            filled = _frombuffer(data, dtype, shape, "F" if fortran_order else "C")
            target.dtype, target.shape, target.data = filled.dtype, filled.shape, filled.data
            target.fortran_order = filled.fortran_order
        elif type(target) is not _Dtype or type(state) is not tuple:
            raise ValueError("it changes something that is not an array")


def _octets(value: Any) -> bytes:
    """Return the bytes of an array: Python 2 pickled them as text."""
    if type(value) is str:
        return value.encode("latin-1")
    if type(value) not in {bytes, bytearray}:
        raise ValueError("it has an array without bytes")
    return bytes(value)


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> PlainArray:
    if type(dtype) is not _Dtype or type(shape) is not tuple or any(type(n) is not int for n in shape):
        raise ValueError("it has an array without a type or a shape")
    return PlainArray(dtype=dtype.name, shape=shape, fortran_order=order == "F", data=_octets(data))


def _dtype(name: Any, *_: Any) -> _Dtype:
    if type(name) is bytes:
        name = name.decode("latin-1")
    if type(name) is not str:
        raise ValueError("it has an array of an unknown type")
    return _Dtype(name=name)


def _reconstruct(*_: Any) -> PlainArray:
    return PlainArray()


def _encode(text: Any, encoding: Any) -> bytes:
    """Return text as bytes: Python 3 pickles bytes so for readers in Python 2."""
    if type(text) is not str or encoding != "latin1":
        raise ValueError("it has text in an unknown encoding")
    return text.encode("latin-1")


def _refuse(*_: Any) -> None:
    raise ValueError("it makes an array in an unknown way")


_KNOWN: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "numpy.ndarray": _refuse,  # an argument of _reconstruct, never called
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_ARGUMENTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINSTRING", "BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda *_: None,
    "FRAME": lambda *_: None,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
_ALLOWED = frozenset(
    opcode.code
    for opcode in pickletools.opcodes
    if opcode.name in {"STOP", *_CONSTANTS, *_ARGUMENTS, *_TUPLES, *_METHODS}
)
