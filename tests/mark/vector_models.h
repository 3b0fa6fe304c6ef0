/* tests/mark/vector_models.h - weights of the known answers: vectors/original.json and vectors/balanced.json (vectors/README.md). */
#ifndef WMK_TESTS_VECTOR_MODELS_H
#define WMK_TESTS_VECTOR_MODELS_H

#include <math.h>

#include "base/convert.h"
#include "mark/read_naive.h"
#include "mark/vector_json.h"

#define VECTOR_TENSORS 4

/* What a case of the two files describes. */
typedef struct vector_model {
    size_t count;
    char names[VECTOR_TENSORS][16];
    wmk_target target[VECTOR_TENSORS];
    wmk_tensor_view view[VECTOR_TENSORS];
    unsigned char *bytes[VECTOR_TENSORS];
} vector_model;

static inline json_t *member(const json_t *object, const char *name) { return need(json_object_get(object, name)); }
static inline int64_t number(const json_t *object, const char *name) { return json_integer_value(member(object, name)); }

static inline uint64_t vector_elements(const wmk_tensor_view *view)
{
    uint64_t n = 1;
    for (uint32_t a = 0; a < view->rank; a++) n *= view->shape[a];
    return n;
}

/* Element n by the rule "counted": (((first + n * step) mod modulus) - floor(modulus / 2)) * 2^exponent, but for the list "except" of pairs of an
 * element and its value. */
static inline void vector_count(unsigned char *bytes, const wmk_tensor_view *view, const json_t *rule)
{
    uint64_t modulus = (uint64_t)number(rule, "modulus"), n = vector_elements(view);
    size_t size = wmk_dtype_bits(view->dtype) / 8, i;
    json_t *pair;
    for (uint64_t e = 0; e < n; e++) {
        uint64_t k = ((uint64_t)number(rule, "first") + e * (uint64_t)number(rule, "step")) % modulus;
        double value = ldexp((double)k - (double)(modulus / 2), (int)number(rule, "exponent"));
        wmk_write_f64(bytes + e * size, view->dtype, &value, 1);
    }
    json_array_foreach(member(rule, "except"), i, pair)
    {
        double value = json_number_value(json_array_get(pair, 1));
        wmk_write_f64(bytes + (size_t)json_integer_value(json_array_get(pair, 0)) * size, view->dtype, &value, 1);
    }
}

static inline void vector_tensor(vector_model *model, size_t t, const json_t *tensor)
{
    wmk_tensor_view *view = &model->view[t];
    const json_t *shape = member(tensor, "shape"), *data = json_object_get(tensor, "data");
    snprintf(model->names[t], sizeof model->names[t], "%s", json_string_value(member(tensor, "name")));
    *view = (wmk_tensor_view){.name = model->names[t], .rank = (uint32_t)json_array_size(shape)};
    for (int type = WMK_F64; type <= WMK_BF16; type++)
        if (strcmp(json_string_value(member(tensor, "dtype")), wmk_dtype_name((wmk_dtype)type)) == 0) view->dtype = (wmk_dtype)type;
    snprintf(view->layout, sizeof view->layout, "%s", json_string_value(member(tensor, "layout")));
    for (uint32_t a = 0; a < view->rank; a++) view->shape[a] = (uint64_t)json_integer_value(json_array_get(shape, a));
    size_t bytes = vector_elements(view) * (wmk_dtype_bits(view->dtype) / 8), got = 0;
    const json_t *counted = json_object_get(tensor, "counted");
    if (data || counted) view->data = model->bytes[t] = need(malloc(bytes)); /* neither: the tensor is missing */
    if (data) {
        sodium_hex2bin(model->bytes[t], bytes, json_string_value(data), json_string_length(data), NULL, &got, NULL);
        assert_int_equal(got, bytes);
    } else if (counted) {
        vector_count(model->bytes[t], view, counted);
    }
    model->target[t] = (wmk_target){.name = model->names[t], .rank = view->rank};
    memcpy(model->target[t].layout, view->layout, sizeof view->layout);
    memcpy(model->target[t].shape, view->shape, sizeof view->shape);
}

static inline void vector_model_open(vector_model *model, const json_t *tensors)
{
    size_t t;
    json_t *tensor;
    *model = (vector_model){.count = json_array_size(tensors)};
    assert_true(model->count <= VECTOR_TENSORS);
    json_array_foreach(tensors, t, tensor) vector_tensor(model, t, tensor);
}

static inline void vector_model_close(vector_model *model)
{
    for (size_t t = 0; t < model->count; t++) free(model->bytes[t]);
}

/* Tensor t of a model as plain loops want it; tensor->value is the caller's to free. */
static inline void vector_naive(naive_tensor *tensor, const vector_model *model, size_t t)
{
    static const char letter[] = "DHWIO";
    const wmk_tensor_view *view = &model->view[t];
    size_t n = vector_elements(view), size = wmk_dtype_bits(view->dtype) / 8;
    *tensor = (naive_tensor){.extent = {1, 1, 1, 1, 1}, .view = *view, .value = need(malloc(n * sizeof(double)))};
    for (uint32_t a = 0; a < view->rank; a++) tensor->extent[strchr(letter, view->layout[a]) - letter] = view->shape[a];
    for (size_t e = 0; e < n; e++) wmk_read_f64(&tensor->value[naive_index(tensor, e)], model->bytes[t] + e * size, view->dtype, 1);
}

static inline json_t *reals(const double *values, size_t n)
{
    json_t *list = need(json_array());
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(values[i]));
    return list;
}

/* "none", "a", "r" and "c" of one target. */
static inline json_t *vector_factors(const vector_model *model, size_t t)
{
    naive_tensor tensor;
    uint64_t none;
    vector_naive(&tensor, model, t);
    naive_balance f;
    double *value = naive_finite(&tensor, WMK_CARRIER_BALANCED, &f, &none);
    naive_factors(&f, &tensor, value);
    json_t *a = need(json_array());
    for (size_t i = 0; i < tensor.extent[3]; i++) json_array_append_new(a, json_integer(f.a[i]));
    json_t *all = need(
        json_pack("{s:I, s:o, s:o, s:o}", "none", (json_int_t)none, "a", a, "r", reals(f.r, tensor.extent[4]), "c", reals(f.c, tensor.extent[3])));
    naive_balance_free(&f);
    free(value);
    free(tensor.value);
    return all;
}

/* "original" of a case of original.json: the digest of a model whose targets are its tensors. */
static inline void vector_original_answer(json_t *one)
{
    vector_model model;
    uint8_t digest[WMK_ORIGINAL_BYTES];
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    wmk_key *key;
    vector_model_open(&model, member(one, "tensors"));
    options.bits = 1;
    options.targets = model.target;
    options.target_count = model.count;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_mark_original(digest, key, model.view));
    json_object_set_new(one, "original", hex_of(digest, sizeof digest));
    wmk_key_free(key);
    vector_model_close(&model);
}

/* "factors" and "y" of a case of balanced.json; the key lies in `folder`. */
static inline void vector_balanced_answer(json_t *one, const char *folder)
{
    vector_model model;
    wmk_key *key;
    wmk_reading *reading;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(member(one, "key")));
    vector_model_open(&model, member(one, "tensors"));
    json_t *factors = need(json_array());
    for (size_t t = 0; t < model.count; t++) json_array_append_new(factors, model.view[t].data ? vector_factors(&model, t) : json_null());
    json_object_set_new(one, "factors", factors);
    assert_ok(wmk_key_read(&key, path, NULL, 0));
    assert_ok(wmk_mark_read(&reading, key, model.view));
    json_object_set_new(one, "y", reals(reading->y, reading->T));
    wmk_reading_free(reading);
    wmk_key_free(key);
    vector_model_close(&model);
}

#endif
