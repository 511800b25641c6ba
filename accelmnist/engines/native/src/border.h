// The border to Python: checked buffers, enumerations from names, capsules, the interpreter's lock, errors. For
// module.cpp alone.
//
// It uses the stable ABI of Python 3.11, whose buffer protocol states the type, shape and contiguity of every array:
// one file serves all later versions, and nothing depends on torch's or NumPy's ABI. Every argument is checked here and
// in job.cpp; a wrong one raises TypeError or ValueError.

#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "engine.h"

namespace accelmnist {
namespace {

// Thrown when a Python exception is set.
struct PythonError {};

[[noreturn]] void raise(PyObject* type, const char* message) {
    PyErr_SetString(type, message);
    throw PythonError{};
}

// Owns references to views of Python buffers while a job runs.
class Views {
public:
    Views() = default;
    Views(const Views&) = delete;
    Views& operator=(const Views&) = delete;
    ~Views() {
        for (Py_buffer& view : views_) PyBuffer_Release(&view);
    }

    const Py_buffer& open(PyObject* object, bool writable, const char* formats, size_t item_size, int dimensions) {
        Py_buffer view;
        if (PyObject_GetBuffer(object, &view, PyBUF_STRIDES | PyBUF_FORMAT) != 0) throw PythonError{};
        views_.push_back(view);
        const char* format = view.format ? view.format : "B";
        if (*format == '=' || *format == '@') ++format;
        const bool has_type = std::strlen(format) == 1 && std::strchr(formats, *format);
        if (!has_type || view.itemsize != static_cast<Py_ssize_t>(item_size)) {
            PyErr_Format(PyExc_TypeError, "an array has elements of type %s, not %s", format, formats);
            throw PythonError{};
        }
        if (view.ndim != dimensions) raise(PyExc_ValueError, "an array has another number of dimensions");
        if (!PyBuffer_IsContiguous(&view, 'C')) raise(PyExc_ValueError, "an array is not contiguous");
        if (writable && view.readonly) raise(PyExc_ValueError, "an array can't be written");
        if (reinterpret_cast<uintptr_t>(view.buf) % item_size != 0) raise(PyExc_ValueError, "an array is not aligned");
        return views_.back();
    }

private:
    std::vector<Py_buffer> views_;
};

template <class Element>
Array<Element> array_of(const Py_buffer& view) {
    return {static_cast<Element*>(view.buf), view.len / static_cast<Py_ssize_t>(sizeof(Element))};
}

Array<const float> floats_in(Views& views, PyObject* object) {
    return array_of<const float>(views.open(object, false, "f", 4, 1));
}

Array<const int64_t> longs_in(Views& views, PyObject* object) {
    return array_of<const int64_t>(views.open(object, false, "lq", 8, 1));
}

Array<const uint8_t> images_in(Views& views, PyObject* object) {
    const Py_buffer& view = views.open(object, false, "B", 1, 2);
    if (view.shape[1] != kPixels) raise(PyExc_ValueError, "an image has not 784 pixels");
    return array_of<const uint8_t>(view);
}

// The items of a tuple.
std::vector<PyObject*> items_of(PyObject* tuple) {
    if (!PyTuple_Check(tuple)) raise(PyExc_TypeError, "parameters and slots come as tuples");
    std::vector<PyObject*> items;
    for (Py_ssize_t index = 0; index < PyTuple_Size(tuple); ++index) items.push_back(PyTuple_GetItem(tuple, index));
    return items;
}

// Parameters: weight (units, inputs) and bias (units) of every layer in turn.
Network network_of(Views& views, PyObject* parameters, bool writable) {
    const std::vector<PyObject*> items = items_of(parameters);
    if (items.size() % 2 || items.size() / 2 > kMaxLayers) raise(PyExc_ValueError, "the number of parameters is wrong");
    Network network;
    for (size_t index = 0; index < items.size(); index += 2) {
        Layer& layer = network.layers[network.layer_count++];
        const Py_buffer weight = views.open(items[index], writable, "f", 4, 2);
        layer.units = weight.shape[0];
        layer.inputs = weight.shape[1];
        layer.weight = array_of<float>(weight);
        layer.bias = array_of<float>(views.open(items[index + 1], writable, "f", 4, 1));
    }
    return network;
}

// Slots: for each, a tuple of as many arrays as there are parameters.
void add_slots(Views& views, PyObject* slots, Network& network, Rule rule) {
    const std::vector<PyObject*> rows = items_of(slots);
    if (rows.size() != static_cast<size_t>(slots_of(rule))) raise(PyExc_ValueError, "the number of slots is wrong");
    for (size_t slot = 0; slot < rows.size(); ++slot) {
        const std::vector<PyObject*> items = items_of(rows[slot]);
        if (items.size() != static_cast<size_t>(network.layer_count) * 2)
            raise(PyExc_ValueError, "a slot has not one array a parameter");
        for (size_t index = 0; index < items.size(); index += 2) {
            Layer& layer = network.layers[index / 2];
            layer.weight_slots[slot] = array_of<float>(views.open(items[index], true, "f", 4, 2));
            layer.bias_slots[slot] = array_of<float>(views.open(items[index + 1], true, "f", 4, 1));
        }
    }
}

// The enumerator at the index of `name` in `names`, which are in the order of the enumeration.
template <class Kind>
Kind kind_of(const char* name, std::initializer_list<const char*> names) {
    int index = 0;
    for (const char* each : names) {
        if (std::strcmp(name, each) == 0) return static_cast<Kind>(index);
        ++index;
    }
    PyErr_Format(PyExc_ValueError, "%s is not known", name);
    throw PythonError{};
}

Activation activation_of(const char* name) {
    return kind_of<Activation>(name, {"relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid"});
}
Output output_of(const char* name) { return kind_of<Output>(name, {"softmax", "sigmoid", "linear"}); }
Rule rule_of(const char* name) { return kind_of<Rule>(name, {"sgd", "sgd-momentum", "adam", "adamw"}); }
Precision precision_of(const char* name) { return kind_of<Precision>(name, {"fp32", "bf16"}); }
Level level_of(const char* name) { return kind_of<Level>(name, {"plain", "avx2", "avx512", "avx512bf16", "amx"}); }

// Calls `run`, which returns a problem or nullptr, without the interpreter's lock.
template <class Run>
void run_unlocked(Run run) {
    const char* problem = nullptr;
    bool has_memory = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        problem = run();
    } catch (const std::bad_alloc&) {
        has_memory = false;
    }
    Py_END_ALLOW_THREADS;
    if (!has_memory) throw std::bad_alloc();
    if (problem) raise(PyExc_ValueError, problem);
}

// Returns what `body` returns, or NULL with an exception set.
template <class Body>
PyObject* guarded(Body body) {
    try {
        return body();
    } catch (const PythonError&) {
        return nullptr;
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}

// An object that stays in C++ between calls is a capsule to Python, which only its destructor and `object_in` open. An
// argument of a call stays alive while the call runs, whatever becomes of the caller's names for it.
template <class Object>
PyObject* capsule_of(std::unique_ptr<Object>& object, const char* name, PyCapsule_Destructor destructor) {
    PyObject* capsule = PyCapsule_New(object.get(), name, destructor);
    if (capsule) object.release();
    return capsule;
}

template <class Object>
Object& object_in(PyObject* capsule, const char* name, const char* complaint) {
    if (!PyCapsule_IsValid(capsule, name)) raise(PyExc_TypeError, complaint);
    return *static_cast<Object*>(PyCapsule_GetPointer(capsule, name));
}

}  // namespace
}  // namespace accelmnist
