/* tests/mark/embed_naive.h - embedding into sets of tensors (read_naive.h), and what has to be true of every embedding:
 * margins, zeros, sums of the change and the summary, by plain loops over what was stored. */
#ifndef WMK_TESTS_EMBED_NAIVE_H
#define WMK_TESTS_EMBED_NAIVE_H

#include "read_naive.h"

#include "base/convert.h"
#include "mark/embed.h"

static const wmk_scheme schemes[] = {WMK_SCHEME_DIRECT, WMK_SCHEME_DIFF, WMK_SCHEME_RANDOM, WMK_SCHEME_PARTITION};

/* Blocks of 32: a scale in binary16 and 32 signed bytes, as GGUF's Q8_0 (ggml-quants.c, quantize_row_q8_0_ref). */
enum { BLOCK8 = 34 };
static inline void read_q8(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned char *block = (const unsigned char *)view->data + (element + i) / 32 * BLOCK8;
        uint16_t half;
        memcpy(&half, block, 2);
        values[i] = (double)wmk_f16_to_f32(half) * (int8_t)block[2 + (element + i) % 32];
    }
}
static inline void write_q8(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    (void)view;
    assert_true(element % 32 == 0 && count % 32 == 0);
    for (size_t b = 0; b < count / 32; b++) {
        const double *from = values + 32 * b;
        unsigned char *block = (unsigned char *)data + (element / 32 + b) * BLOCK8;
        double largest = 0;
        for (int i = 0; i < 32; i++) largest = fmax(largest, fabs(from[i]));
        uint16_t half = wmk_f64_to_f16(largest / 127);
        double scale = wmk_f16_to_f32(half);
        memcpy(block, &half, 2);
        for (int i = 0; i < 32; i++) block[2 + i] = (unsigned char)(int8_t)fmax(-127, fmin(127, scale > 0 ? nearbyint(from[i] / scale) : 0));
    }
}
static const wmk_codec q8 = {"q8_0", read_q8, write_q8, 32};

/* value[] of a tensor from what `bytes` hold in its view's layout and type. */
static inline void embed_take(naive_tensor *t, const void *bytes)
{
    wmk_tensor_view view = t->view;
    double *values = malloc(naive_size(t) * sizeof *values);
    view.data = bytes;
    wmk_tensor_read(&view, 0, naive_size(t), values);
    for (size_t e = 0; e < naive_size(t); e++) t->value[naive_index(t, e)] = values[e];
    free(values);
}

static inline size_t embed_bytes(const naive_tensor *t)
{
    return t->view.codec == &q8 ? naive_size(t) / 32 * BLOCK8 : naive_size(t) * wmk_dtype_bits(t->view.dtype) / 8;
}

/* Puts tensor t's values into `layout` and `dtype`, rounded to what the type holds; value[] is what is stored then. */
static inline void embed_store(naive_set *set, size_t t, const char *layout, wmk_dtype dtype)
{
    naive_tensor *tensor = &set->tensor[t];
    size_t count = naive_size(tensor);
    double *values = malloc(count * sizeof *values);
    naive_store(tensor, layout, WMK_F64, 0); /* for the view's shape */
    tensor->view.dtype = dtype;
    if (dtype == WMK_Q8_0) tensor->view.codec = &q8;
    for (size_t e = 0; e < count; e++) values[e] = tensor->value[naive_index(tensor, e)];
    wmk_tensor_write(&tensor->view, tensor->bytes + 1, 0, count, values);
    embed_take(tensor, tensor->bytes + 1);
    set->view[t] = tensor->view;
    free(values);
}

/* One embedding. */
typedef struct embed_run {
    naive_set *set;
    const wmk_key *key;
    wmk_embed_options options;
    bool in_place;
    wmk_embed_summary summary;
    unsigned char *before[NAIVE_MAX];        /* the bytes of the views */
    void *out[NAIVE_MAX];                    /* and of what was stored */
    double *old[NAIVE_MAX], *new[NAIVE_MAX]; /* values in the order of naive_tensor.value */
} embed_run;

static inline const char *embed_words(const embed_run *r)
{
    static char words[160];
    const wmk_tensor_view *view = &r->set->view[0];
    snprintf(words, sizeof words, "%s/%s, %s %s ..., %zu tensors%s%s", wmk_scheme_name(wmk_key_scheme(r->key)),
             wmk_carrier_name(wmk_key_carrier(r->key)), view->layout, view->codec != NULL ? view->codec->name : wmk_dtype_name(view->dtype),
             r->set->count, r->options.fill_zeros ? ", zeros filled" : "", r->options.unbalanced ? ", unbalanced" : "");
    return words;
}

/* Exchanges the set's values with those that were stored. */
static inline void embed_exchange(embed_run *r)
{
    for (size_t t = 0; t < r->set->count; t++) {
        double *values = r->set->tensor[t].value;
        r->set->tensor[t].value = r->new[t];
        r->new[t] = values;
    }
}

/* Zeros before are zeros after, and there are no others; value by value. A codec may round to 0 what was not. */
static inline void embed_check_zeros(const embed_run *r)
{
    for (size_t t = 0; t < r->set->count && !r->options.fill_zeros; t++)
        for (size_t k = 0; k < naive_size(&r->set->tensor[t]); k++) {
            bool was = r->old[t][k] == 0, is = r->new[t][k] == 0;
            if (was != is && (was || r->set->view[t].codec == NULL))
                fail_msg("%s: tensor %zu: %g became %g", embed_words(r), t, r->old[t][k], r->new[t][k]);
        }
}

/* ||new - old|| / ||old|| over all tensors. */
static inline double embed_change(const embed_run *r)
{
    double changed = 0, all = 0;
    for (size_t t = 0; t < r->set->count; t++)
        for (size_t k = 0; k < naive_size(&r->set->tensor[t]); k++) {
            changed += pow(r->new[t][k] - r->old[t][k], 2);
            all += pow(r->old[t][k], 2);
        }
    return sqrt(changed / all);
}

/* Margins and summary, from the values that were stored. */
static inline void embed_check_margins(embed_run *r)
{
    const wmk_carrier carrier = wmk_key_carrier(r->key);
    const uint32_t T = wmk_key_bit_count(r->key);
    double *s = naive_signs(r->key), *y = calloc(T, sizeof *y), *score = calloc(T, sizeof *score), z = 0, least = INFINITY;
    uint8_t *erased = calloc(T, 1);
    embed_exchange(r);
    double *w = naive_w(r->set, carrier, wmk_key_m(r->key), NULL);
    naive_read(r->key, w, naive_is_normalized(r->set, carrier), y, score, erased);
    embed_exchange(r);
    for (uint32_t j = 0; j < T; j++) {
        least = fmin(least, s[j] * score[j]);
        z += s[j] * score[j];
    }
    if (least < r->options.margin * (1 - 1e-12)) fail_msg("%s: %.12g of margin %g", embed_words(r), least, r->options.margin);
    const wmk_embed_summary *is = &r->summary;
    const double change = embed_change(r);
    if (!(fabs(is->relative_change - change) < 1e-9 * (1 + change)) || change == 0)
        fail_msg("%s: relative change %.12g, not %.12g", embed_words(r), is->relative_change, change);
    assert_true(fabs(is->margin_reached - least) < 1e-9 * least);
    assert_int_equal(is->errors_after, 0);
    assert_true(is->z_before < is->z_after);
    if (wmk_key_scheme(r->key) >= WMK_SCHEME_RANDOM) assert_true(fabs(is->z_after - z / sqrt(T)) < 1e-9 * is->z_after);
    assert_true(fabs(is->rounding_z) < 0.05 * is->z_after);
    free(w);
    free(s);
    free(y);
    free(score);
    free(erased);
}

/* Embeds; returns the status. Nothing is checked but that what was read back is what a reading of its own says. */
static inline wmk_status embed_try(embed_run *r)
{
    wmk_reading *stored = NULL, *again = NULL;
    wmk_tensor_view after[NAIVE_MAX];
    for (size_t t = 0; t < r->set->count; t++) {
        const naive_tensor *tensor = &r->set->tensor[t];
        r->before[t] = malloc(embed_bytes(tensor));
        memcpy(r->before[t], r->set->view[t].data, embed_bytes(tensor));
        r->out[t] = r->in_place ? (void *)(uintptr_t)r->set->view[t].data : malloc(embed_bytes(tensor));
        if (!r->in_place) memcpy(r->out[t], r->before[t], embed_bytes(tensor)); /* as codecs are promised */
        after[t] = r->set->view[t];
        after[t].data = r->out[t];
    }
    wmk_status status = wmk_mark_embed_into(r->key, r->set->view, r->out, &r->options, NULL, &r->summary, &stored);
    if (status != WMK_OK) return status;
    assert_ok(wmk_mark_read(&again, r->key, after));
    for (uint32_t j = 0; j < again->T; j++) { /* sums in another order */
        assert_true(fabs(stored->y[j] - again->y[j]) <= 1e-12 * (1 + fabs(again->y[j])));
        assert_true(fabs(stored->score[j] - again->score[j]) <= 1e-12 * (1 + fabs(again->score[j])));
        assert_true(stored->bit[j] == again->bit[j] && stored->erased[j] == again->erased[j]);
    }
    wmk_reading_free(stored);
    wmk_reading_free(again);
    for (size_t t = 0; t < r->set->count; t++) {
        size_t size = naive_size(&r->set->tensor[t]) * sizeof(double);
        r->old[t] = malloc(size);
        r->new[t] = malloc(size);
        memcpy(r->old[t], r->set->tensor[t].value, size);
        embed_take(&r->set->tensor[t], r->out[t]);
        memcpy(r->new[t], r->set->tensor[t].value, size);
        memcpy(r->set->tensor[t].value, r->old[t], size);
    }
    return WMK_OK;
}

/* The set is as it was before. */
static inline void embed_close(embed_run *r)
{
    for (size_t t = 0; t < r->set->count; t++) {
        if (r->in_place) memcpy(r->out[t], r->before[t], embed_bytes(&r->set->tensor[t]));
        if (!r->in_place) free(r->out[t]);
        free(r->before[t]);
        free(r->old[t]);
        free(r->new[t]);
    }
}

/* Embeds and checks all of the above; the caller closes it. */
static inline embed_run embed_open(naive_set *set, const wmk_key *key, const wmk_embed_options *options, bool in_place)
{
    embed_run r = {.set = set, .key = key, .options = *options, .in_place = in_place};
    if (embed_try(&r) != WMK_OK) fail_msg("%s: %s", embed_words(&r), wmk_error_message());
    embed_check_margins(&r);
    embed_check_zeros(&r);
    return r;
}

/* The same, with nothing left. */
static inline void embed_and_check(naive_set *set, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits, bool in_place, double margin)
{
    wmk_key *key = naive_key(set, scheme, carrier, bits, false, (uint8_t)(scheme + 7 * carrier));
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.margin = margin;
    embed_run r = embed_open(set, key, &options, in_place);
    embed_close(&r);
    wmk_key_free(key);
}

#endif
