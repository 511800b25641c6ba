// The Python module's functions. Their arguments are checked in border.h and job.cpp.

#include "border.h"
#include "classifier.h"

namespace accelmnist {
namespace {

constexpr const char* kPixelsName = "accelmnist.engines.native.pixels";
constexpr const char* kClassifierName = "accelmnist.engines.native.classifier";

const PixelStore& pixels_in(PyObject* object) {
    return object_in<PixelStore>(object, kPixelsName, "the pixels are not what list_pixels made");
}

Classifier& classifier_in(PyObject* object) {
    return object_in<Classifier>(object, kClassifierName, "the classifier is not what make_classifier made");
}

void delete_pixels(PyObject* capsule) { delete &pixels_in(capsule); }
void delete_classifier(PyObject* capsule) { delete &classifier_in(capsule); }

PyObject* list_pixels_call(PyObject*, PyObject* arguments, PyObject* keywords) {
    static const char* names[] = {"images", "threads", "level", nullptr};
    PyObject* images;
    const char* level;
    Listing job;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "O$is:list_pixels", const_cast<char**>(names), &images, &job.threads, &level
        ))
        return nullptr;
    return guarded([&] {
        Views views;
        job.images = images_in(views, images);
        std::unique_ptr<PixelStore> store;
        const Level chosen = level_of(level);
        run_unlocked([&] { return list_pixels(job, chosen, store); });
        return capsule_of(store, kPixelsName, delete_pixels);
    });
}

PyObject* train_call(PyObject*, PyObject* arguments, PyObject* keywords) {
    static const char* names[] = {"parameters", "slots", "pixels", "labels", "order", "rates", "seeds", "losses",
                                  "activation", "output", "rule", "nesterov", "momentum", "weight_decay",
                                  "label_smoothing", "dropout", "beta1", "beta2", "epsilon", "count", "first",
                                  "threads", "precision", "level", nullptr};
    PyObject *parameters, *slots, *pixels, *labels, *order, *rates, *seeds, *losses;
    const char *activation, *output, *rule, *precision, *level;
    int nesterov;
    long long first;
    Epoch job;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "OOOOOOOO$ssspddddddddLiss:train", const_cast<char**>(names), &parameters, &slots,
            &pixels, &labels, &order, &rates, &seeds, &losses, &activation, &output, &rule, &nesterov, &job.momentum,
            &job.weight_decay, &job.label_smoothing, &job.dropout, &job.beta1, &job.beta2, &job.epsilon, &job.count,
            &first, &job.threads, &precision, &level
        ))
        return nullptr;
    return guarded([&] {
        Views views;
        job.output = output_of(output);
        job.rule = rule_of(rule);
        job.nesterov = nesterov != 0;
        job.first = first;
        job.network = network_of(views, parameters, true);
        job.network.activation = activation_of(activation);
        add_slots(views, slots, job.network, job.rule);
        job.precision = precision_of(precision);
        if (job.precision == Precision::fp32 && PyCapsule_CheckExact(pixels))
            job.pixels = &pixels_in(pixels).set;
        else
            job.images = images_in(views, pixels);
        job.labels = longs_in(views, labels);
        const Py_buffer plan = views.open(order, false, "lq", 8, 2);
        job.steps = plan.shape[0];
        job.batch = plan.shape[1];
        job.order = array_of<const int64_t>(plan);
        job.rates = floats_in(views, rates);
        job.seeds = longs_in(views, seeds);
        job.losses = array_of<float>(views.open(losses, true, "f", 4, 1));
        const Level chosen = level_of(level);
        run_unlocked([&] { return train(job, chosen); });
        return Py_NewRef(Py_None);
    });
}

PyObject* make_classifier_call(PyObject*, PyObject* arguments, PyObject* keywords) {
    static const char* names[] = {"parameters", "activation", "threads", "precision", "level", nullptr};
    PyObject* parameters;
    const char *activation, *precision, *level;
    Model model;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "O$siss:make_classifier", const_cast<char**>(names), &parameters, &activation,
            &model.threads, &precision, &level
        ))
        return nullptr;
    return guarded([&] {
        Views views;
        model.network = network_of(views, parameters, false);
        model.network.activation = activation_of(activation);
        model.precision = precision_of(precision);
        const Level chosen = level_of(level);
        std::unique_ptr<Classifier> classifier;
        run_unlocked([&] { return make_classifier(model, chosen, classifier); });
        return capsule_of(classifier, kClassifierName, delete_classifier);
    });
}

// Microseconds count here, so the arguments are positional only.
PyObject* classify_call(PyObject*, PyObject* arguments) {
    PyObject *classifier, *images, *logits;
    if (!PyArg_ParseTuple(arguments, "OOO:classify", &classifier, &images, &logits)) return nullptr;
    return guarded([&] {
        Views views;
        Classification job;
        Classifier& chosen = classifier_in(classifier);
        job.images = images_in(views, images);
        job.logits = array_of<float>(views.open(logits, true, "f", 4, 2));
        run_unlocked([&] { return chosen.classify(job); });
        return Py_NewRef(Py_None);
    });
}

PyObject* levels_call(PyObject*, PyObject*) {
    PyObject* reasons = PyDict_New();
    if (!reasons) return nullptr;
    for (int level = 0; level < static_cast<int>(Level::count); ++level) {
        const char* reason = why_not(static_cast<Level>(level));
        PyObject* value = reason ? PyUnicode_FromString(reason) : Py_NewRef(Py_None);
        const bool is_added = value && PyDict_SetItemString(reasons, name_of(static_cast<Level>(level)), value) == 0;
        Py_XDECREF(value);
        if (!is_added) {
            Py_DECREF(reasons);
            return nullptr;
        }
    }
    return reasons;
}

template <class Function>
PyCFunction as_function(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef kMethods[] = {
    {"list_pixels", as_function(list_pixels_call), METH_VARARGS | METH_KEYWORDS, "The pixels that are not black."},
    {"train", as_function(train_call), METH_VARARGS | METH_KEYWORDS, "Run the steps of an epoch in place."},
    {"make_classifier", as_function(make_classifier_call), METH_VARARGS | METH_KEYWORDS, "Keep a network's weights."},
    {"classify", classify_call, METH_VARARGS, "Write the logits of images."},
    {"levels", levels_call, METH_NOARGS, "Why each instruction level can't run here, the widest last; None if it can."},
    {nullptr, nullptr, 0, nullptr},
};

int add_constants(PyObject* module) { return PyModule_AddIntConstant(module, "INTERFACE", ACCELMNIST_INTERFACE); }

PyModuleDef_Slot kSlots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(add_constants)},
    {0, nullptr},
};

PyModuleDef kModule = {
    PyModuleDef_HEAD_INIT, "accelmnist.engines.native._kernels", "Native training and classification.", 0, kMethods,
    kSlots, nullptr, nullptr, nullptr,
};

}  // namespace
}  // namespace accelmnist

PyMODINIT_FUNC PyInit__kernels() { return PyModuleDef_Init(&accelmnist::kModule); }
