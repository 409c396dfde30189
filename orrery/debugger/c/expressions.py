"""Evaluation of C expressions (tree.py) over the types of DWARF.

Memory is read when a value is needed, not for its address, size or type.  There are no calls, because a call
would change the machine; an assignment does too, but is asked for explicitly.  What names, registers and
memory mean is given by the caller as a Scope.
"""

from typing import Final, Protocol

from orrery.debugger.c.arithmetic import combined, complemented, converted, negated, truth, widened
from orrery.debugger.c.ctypes import INT, ULONG, VOID, CType, TypeKind, array_of, pointer_to
from orrery.debugger.c.syntax import parse
from orrery.debugger.c.tokens import ExpressionSyntaxError
from orrery.debugger.c.tree import (
    Assignment,
    Binary,
    Cast,
    Conditional,
    Constant,
    FunctionCall,
    Member,
    Name,
    Node,
    Register,
    TypeName,
    Unary,
    is_constant,
)
from orrery.debugger.c.values import Value, storage_bytes
from orrery.debugger.errors import Unavailable

ELEMENTS_MAX: Final = 1 << 32  # of place@count


class Scope(Protocol):
    """What an expression's names mean, and where its memory is. All raise Unavailable."""

    def variable(self, name: str) -> Value: ...

    def variable_of(self, within: str, name: str) -> Value: ...

    def register(self, name: str) -> Value: ...

    def type(self, name: str) -> CType | None: ...

    def load(self, type_: CType, address: int) -> Value: ...

    def store(self, target: Value, data: bytes) -> None: ...

    def keep(self, name: str, value: Value) -> None: ...


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression; raises Unavailable."""
    return valued(tree(text, scope), scope)


def tree(text: str, scope: Scope) -> Node:
    """The tree of an expression; raises Unavailable, for a name that is none rather than for what stands
    behind.
    """
    try:
        return parse(text, scope.type)
    except ExpressionSyntaxError as error:
        for name in error.names:
            scope.variable(name)
        raise


def valued(node: Node, scope: Scope) -> Value:
    """The value of a tree; raises Unavailable."""
    try:
        return _Evaluation(scope).value(node)
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


def typed(node: Node, scope: Scope) -> CType:
    """The type of a tree, for which nothing is read and nothing changed; raises Unavailable."""
    if isinstance(node, TypeName):
        return node.type
    try:
        return _Typing(scope).value(node).type
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


class _Evaluation:
    """Of one tree."""

    def __init__(self, scope: Scope) -> None:
        self._scope: Final = scope

    def value(self, node: Node) -> Value:
        """What a tree is worth."""
        match node:
            case Constant(value):
                return value
            case Name(name, None):
                return self._scope.variable(name)
            case Name(name, within):
                return self._scope.variable_of(within or "", name)
            case Register(name):
                return self._scope.register(name)
            case Unary(op, operand):
                return self._unary(op, operand)
            case Binary(op, left, right):
                return self._binary(op, left, right)
            case Assignment():
                return self._assigned(node)
            case Conditional(condition, first, second):
                return self.value(first if self._truth(condition) else second)
            case Cast(type_, operand, True):
                return self._scope.load(type_, self.value(operand).whole)
            case Cast(type_, operand):
                return self._cast(self.value(operand), type_)
            case Member(operand, name, is_pointer):
                return self._member(self.value(operand), name, is_pointer=is_pointer)
            case FunctionCall(operand, _):
                name = operand.name if isinstance(operand, Name) else "a function"
                self.value(operand)
                raise Unavailable(
                    f"{name} cannot be called from here: the machine would no longer be as it was."
                )
            case TypeName():
                raise Unavailable("Attempt to use a type name as an expression")
        raise AssertionError(f"{node} is none of the trees that there are")

    def _truth(self, node: Node) -> bool:
        return truth(self.value(node))

    def _cast(self, value: Value, type_: CType) -> Value:
        """A cast; of what is in memory, to a type that is no number, as if it lay there."""
        if (
            not type_.is_scalar
            and type_ != value.type
            and type_.kind != TypeKind.VOID
            and value.address is not None
        ):
            return self._scope.load(type_, value.address)
        return converted(value, type_)

    def _unary(self, op: str, operand: Node) -> Value:
        if op == "sizeof":
            return Value.of(ULONG, typed(operand, self._scope).size)
        if op == "&" and isinstance(operand, Unary) and operand.op == "*":
            return self._pointer(self.value(operand.operand))
        value = self.value(operand)
        match op:
            case "*":
                return self._target(value)
            case "&":
                return self._address(value, operand)
            case "-":
                return negated(value)
            case "~":
                return complemented(value)
            case "!":
                return Value.of(INT, not truth(value))
        if not value.type.is_scalar:
            raise Unavailable("Argument to positive operation not a number.")
        return Value.of(widened(value.type), value.number)

    def _address(self, value: Value, operand: Node) -> Value:
        if value.address is not None:
            return Value.of(pointer_to(value.type), value.address)
        if value.register is not None and isinstance(operand, Name):
            raise Unavailable(f'Address requested for identifier "{operand.name}" which is in a register')
        if isinstance(operand, Name):
            raise Unavailable(f"Can't take address of \"{operand.name}\" which isn't an lvalue.")
        raise Unavailable("Attempt to take address of value not located in memory.")

    def _pointer(self, value: Value) -> Value:
        """&*value, for which nothing is read."""
        return (
            self._address(self._target(value), TypeName(VOID))
            if value.type.kind != TypeKind.POINTER
            else value
        )

    def _target(self, value: Value) -> Value:
        """What an address leads to; a number is the address of an int, as in gdb."""
        if value.type.kind == TypeKind.FUNCTION:
            return value
        if value.type.is_whole:
            return self._scope.load(INT, value.whole)
        if value.type.kind not in (TypeKind.POINTER, TypeKind.ARRAY):
            raise Unavailable("Attempt to take contents of a non-pointer value.")
        if value.type.of.kind == TypeKind.VOID:
            raise Unavailable("Attempt to dereference a generic pointer.")
        if value.type.kind == TypeKind.ARRAY and value.address is None:
            return value.element(0)
        return self._scope.load(value.type.of, value.whole)

    def _binary(self, op: str, left: Node, right: Node) -> Value:
        if op == "&&":
            return Value.of(INT, self._truth(left) and self._truth(right))
        if op == "||":
            return Value.of(INT, self._truth(left) or self._truth(right))
        first, second = self.value(left), self.value(right)
        if op == ",":
            return second
        if op == "@":
            return self._several(first, second)
        if op == "[":
            return self._subscripted(first, second)
        return combined(op, first, second)

    def _subscripted(self, array: Value, index: Value) -> Value:
        """The place of an element, which * then takes; or an array that begins with it and is nowhere."""
        if array.type.kind not in (TypeKind.POINTER, TypeKind.ARRAY):
            raise Unavailable(f"cannot subscript something of type `{array.type.name}'")
        if array.type.kind == TypeKind.ARRAY and array.address is None:
            at = index.whole
            if not 0 <= at < array.type.count:
                raise Unavailable(f"no such vector element: {at}")
            element = array.element(at)
            return Value(array_of(array.type.of, 1), element.fetch)
        return combined("+", array, index)

    def _several(self, first: Value, count: Value) -> Value:
        """first@count: an array that begins at `first`."""
        if first.address is None:
            raise Unavailable("Only values in memory can be extended with '@'.")
        if not 0 < count.whole < ELEMENTS_MAX:
            raise Unavailable(f"Invalid number {count.whole} of repetitions.")
        return self._scope.load(array_of(first.type, count.whole), first.address)

    def _member(self, value: Value, name: str, *, is_pointer: bool) -> Value:
        if value.type.kind == TypeKind.POINTER:
            value = self._target(value)  # as gdb forgives it
        if value.type.kind not in (TypeKind.STRUCT, TypeKind.UNION):
            what = "structure pointer" if is_pointer else "structure"
            raise Unavailable(f"Attempt to extract a component of a value that is not a {what}.")
        found = _find_member(value, name)
        if found is None:
            raise Unavailable(f"There is no member named {name}.")
        return found

    def _assigned(self, node: Assignment) -> Value:
        """A place after it was given another value; `node` may want the value of before."""
        target = self.value(node.target)
        if not target.is_place:
            raise Unavailable("Left operand of assignment is not an lvalue.")
        source = self.value(node.source)
        before = Value.made(target.type, target.data) if node.op else target
        made = self._store(target, combined(node.op, target, source) if node.op else source)
        return before if node.is_behind else made

    def _store(self, target: Value, source: Value) -> Value:
        if target.variable is not None:
            kept = Value.made(source.type, source.data)
            self._scope.keep(target.variable, kept)
            return kept
        stored = converted(source, target.type) if target.type.is_scalar else source
        if len(stored.data) != target.type.size:
            raise Unavailable(f"a {source.type.name} cannot be stored in a {target.type.name}")
        if target.bits is not None:
            return self._store_bits(target, stored.whole, target.bits)
        self._scope.store(target, stored.data)
        return Value(target.type, stored.fetch, target.address, target.register)

    def _store_bits(self, target: Value, number: int, bits: tuple[int, int]) -> Value:
        """Store in a bit field, whose neighbours stay as they are."""
        if target.address is None:
            raise Unavailable("a bit field can be changed in memory only")
        low, count = bits
        number &= (1 << count) - 1
        whole = self._scope.load(CType(TypeKind.UINT, "", storage_bytes(bits)), target.address)
        data = (whole.whole & ~((1 << count) - 1 << low) | number << low).to_bytes(whole.type.size, "little")
        self._scope.store(whole, data)
        if target.type.signed and number >> count - 1:
            number -= 1 << count
        made = Value.of(target.type, number)
        return Value(target.type, made.fetch, target.address, bits=bits)


class _Typing(_Evaluation):
    """Of one tree for its type: each value stands for all of its type, so that none is read or changed."""

    def value(self, node: Node) -> Value:
        """A value of the type."""
        match node:
            case TypeName(type_):
                return _any(type_)
            case FunctionCall(operand, _):
                called = self.value(operand).type
                function = called.of if called.kind == TypeKind.POINTER else called
                if function.kind != TypeKind.FUNCTION:
                    raise Unavailable("Cannot perform a call of what is no function.")
                return _any(function.of)
            case Binary("@", left, right) if is_constant(right):
                return self._several(self.value(left), _Evaluation(self._scope).value(right))
            case Binary("&&" | "||", left, right):
                self.value(left)
                self.value(right)
                return _any(INT)
            case Conditional(_, first, _):
                return self.value(first)
            case Assignment(_, target, source):
                self.value(source)
                return self.value(target)
            case _:
                return _any_like(super().value(node))


def _any_like(value: Value) -> Value:
    """One of the type, in memory or not as this one is."""
    made = _any(value.type)
    is_placed = value.address is not None or value.type.kind in (TypeKind.ARRAY, TypeKind.FUNCTION)
    return Value(made.type, made.fetch, 1 if is_placed else None, value.register, value.variable)


def _any(type_: CType) -> Value:
    """One of this type that can be divided by."""
    return Value(
        type_, lambda offset, count: (b"\1" + bytes(count))[:count] if not offset else bytes(count), None
    )


def _find_member(value: Value, name: str) -> Value | None:
    """A member of a struct, or of those in it that have no name."""
    for field in value.type.fields:
        if field.name == name:
            return value.field(field)
    for field in value.type.fields:
        if not field.name and field.type.kind in (TypeKind.STRUCT, TypeKind.UNION):
            found = _find_member(value.field(field), name)
            if found is not None:
                return found
    return None
