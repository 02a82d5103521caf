"""Arrays that speak one protocol alone, so that each is tested without torch and JAX."""

import ctypes

import numpy

_VERSIONED = b"dltensor_versioned"
_USED = b"used_dltensor_versioned"
_EXCHANGE_API = b"dlpack_exchange_api"

_python = ctypes.pythonapi
_python.PyCapsule_New.restype = ctypes.py_object
_python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Dlpack:
    """DLPack's method, of version 1."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, *, max_version=None):
        return self.array.__dlpack__(max_version=max_version)


class OldDlpack(Dlpack):
    """DLPack's method as it was before version 1."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


class ElsewhereDlpack(Dlpack):
    """Memory of a device that is not the CPU, or so it says."""

    def __dlpack__(self, *, max_version=None):
        capsule = self.array.__dlpack__(max_version=max_version)
        _managed(capsule).device_kind = 2
        return capsule


class NowhereDlpack(Dlpack):
    """Shape and strides, and no memory."""

    def __dlpack__(self, *, max_version=None):
        capsule = self.array.__dlpack__(max_version=max_version)
        _managed(capsule).data = None
        return capsule


class CopiedDlpack(Dlpack):
    """A copy of the memory, as the standard lets a producer hand over."""

    def __dlpack__(self, *, max_version=None):
        capsule = self.array.copy().__dlpack__(max_version=max_version)
        _managed(capsule).flags |= 2
        return capsule


class ExchangeDlpack(Dlpack):
    """DLPack's table of C functions, as torch has it; the method is not to be called."""

    requires_grad = False

    def __dlpack__(self, *, max_version=None):
        raise AssertionError("the table comes first")


class _Managed(ctypes.Structure):
    """``DLManagedTensorVersioned``, as far as the device."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("device_kind", ctypes.c_int32),
    ]


def _managed(capsule):
    pointer = _python.PyCapsule_GetPointer(capsule, _VERSIONED)
    return ctypes.cast(pointer, ctypes.POINTER(_Managed)).contents


_FROM_OBJECT = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.py_object, ctypes.POINTER(ctypes.c_void_p)
)


class _Table(ctypes.Structure):
    """``DLPackExchangeAPI``, as far as it is used."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("from_object", _FROM_OBJECT),
    ]


@_FROM_OBJECT
def _from_object(wrapper, tensor):
    capsule = wrapper.array.__dlpack__(max_version=(1, 0))
    tensor[0] = _python.PyCapsule_GetPointer(capsule, _VERSIONED)
    _python.PyCapsule_SetName(capsule, _USED)
    return 0


_TABLE = _Table(1, 3, None, None, _from_object)
ExchangeDlpack.__dlpack_c_exchange_api__ = _python.PyCapsule_New(
    ctypes.addressof(_TABLE), _EXCHANGE_API, None
)

#: Ways to hand over a NumPy array's memory.
WRAPPERS = [numpy.asarray, memoryview, Dlpack, OldDlpack, ExchangeDlpack]
