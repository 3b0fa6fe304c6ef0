/* cli/tree.c - names sorted part by part; what begins alike is a run of the sorted list, so the tree needs no nodes. */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key_file.h"

enum { DEPTH_MAX = 32, WIDTH_MAX = 60 };

void bytes_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++) value /= 1000;
    snprintf(text, size, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* The length of the part at `name`. */
static size_t part_length(const char *name) { return strcspn(name, "./"); }

/* What follows the part at `name`; NULL: nothing. */
static const char *after_part(const char *name)
{
    name += part_length(name);
    return *name ? name + 1 : NULL;
}

static bool is_number(const char *part, size_t length) { return length > 0 && length < 18 && strspn(part, "0123456789") >= length; }

static int compare_parts(const char *a, const char *b)
{
    size_t a_length = part_length(a), b_length = part_length(b);
    if (is_number(a, a_length) && is_number(b, b_length)) {
        unsigned long long x = strtoull(a, NULL, 10), y = strtoull(b, NULL, 10);
        if (x != y) return x < y ? -1 : 1;
    }
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int by_parts(const void *left, const void *right)
{
    const char *a = (*(const wmk_model_tensor *const *)left)->view.name, *b = (*(const wmk_model_tensor *const *)right)->view.name;
    while (a && b) {
        int order = compare_parts(a, b);
        if (order) return order;
        a = after_part(a);
        b = after_part(b);
    }
    return (a != NULL) - (b != NULL);
}

/* Tensors [begin, end) of the sorted list, whose names are alike before `offset`... each its own, as numbers differ in length. */
typedef struct run {
    const wmk_model_tensor **tensor;
    const char **rest; /* [count] what of each name is still to be told; NULL: nothing */
    size_t count;
} run;

/* How many of the run, from `begin` on, have the same next part. */
static size_t group_length(const run *r, size_t begin)
{
    size_t end = begin + 1;
    while (end < r->count && compare_parts(r->rest[begin], r->rest[end]) == 0) end++;
    return end - begin;
}

static bool is_alike(const wmk_model_tensor *a, const wmk_model_tensor *b)
{
    const wmk_tensor_view *x = &a->view, *y = &b->view;
    return x->dtype == y->dtype && x->rank == y->rank && memcmp(x->shape, y->shape, x->rank * sizeof x->shape[0]) == 0;
}

/* True when two groups of `length` tensors differ in their (numbered) next part only. */
static bool are_twins(const run *r, size_t a, size_t b, size_t length)
{
    if (b + length > r->count || !is_number(r->rest[a], part_length(r->rest[a])) || !is_number(r->rest[b], part_length(r->rest[b])) ||
        group_length(r, b) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        const char *x = after_part(r->rest[a + i]), *y = after_part(r->rest[b + i]);
        if ((x == NULL) != (y == NULL) || (x && strcmp(x, y) != 0) || !is_alike(r->tensor[a + i], r->tensor[b + i])) return false;
    }
    return true;
}

static void print_line(const char *name, int indent, const char *right)
{
    int width = WIDTH_MAX - indent;
    printf("%*s", indent, "");
    print_name(name, width > 0 ? width : 0);
    printf("  %s\n", right);
}

static void print_leaf(const wmk_model_tensor *tensor, const char *name, int indent)
{
    char shape[256], size[32], right[320];
    shape_text(tensor->view.rank, tensor->view.shape, shape, sizeof shape);
    bytes_text(tensor->size_bytes, size, sizeof size);
    snprintf(right, sizeof right, "%-7s %-20s %9s", wmk_dtype_name(tensor->view.dtype), shape, size);
    print_line(name, indent, right);
}

static void print_run(const run *r, int depth);

/* The parts that all of a group share, then what is below them. twins: how many further groups it stands for; total_bytes: of all of them. */
static void print_group(const run *r, size_t begin, size_t length, size_t twins, int depth)
{
    char name[512], last[64], right[64], size[32];
    uint64_t bytes = 0;
    const char *part = r->rest[begin], **rest = r->rest + begin;
    snprintf(name, sizeof name, "%.*s", (int)part_length(part), part);
    for (size_t i = 0; i < length * (twins + 1); i++) bytes += r->tensor[begin + i]->size_bytes;
    if (twins) {
        part = r->rest[begin + length * twins];
        snprintf(last, sizeof last, " to %.*s", (int)part_length(part), part);
        strncat(name, last, sizeof name - strlen(name) - 1);
    }
    for (size_t i = 0; i < length; i++) rest[i] = after_part(rest[i]);
    run below = {r->tensor + begin, rest, length};
    while (below.count > 1 && rest[0] && group_length(&below, 0) == below.count && strlen(name) + part_length(rest[0]) + 2 < sizeof name) {
        size_t used = strlen(name);
        snprintf(name + used, sizeof name - used, ".%.*s", (int)part_length(rest[0]), rest[0]); /* a part that has no sisters needs no line */
        for (size_t i = 0; i < length; i++) rest[i] = after_part(rest[i]);
    }
    if (length == 1 && twins == 0) {
        if (rest[0]) strncat(strncat(name, ".", sizeof name - strlen(name) - 1), rest[0], sizeof name - strlen(name) - 2);
        print_leaf(r->tensor[begin], name, 2 * depth);
        return;
    }
    bytes_text(bytes, size, sizeof size);
    if (twins)
        snprintf(right, sizeof right, "%zu alike, %zu tensors each, %s", twins + 1, length, size);
    else
        snprintf(right, sizeof right, "%zu tensors, %s", length, size);
    print_line(name, 2 * depth, right);
    print_run(&below, depth + 1);
}

static void print_run(const run *r, int depth) /* NOLINT(misc-no-recursion): DEPTH_MAX */
{
    for (size_t i = 0; i < r->count;) {
        if (!r->rest[i] || depth == DEPTH_MAX) {
            print_leaf(r->tensor[i], r->rest[i] ? r->rest[i] : "(itself)", 2 * depth);
            i++;
            continue;
        }
        size_t length = group_length(r, i), twins = 0;
        while (are_twins(r, i, i + length * (twins + 1), length)) twins++;
        print_group(r, i, length, twins, depth);
        i += length * (twins + 1);
    }
}

bool tree_print(const wmk_model *model)
{
    size_t count = wmk_model_tensor_count(model);
    run all = {malloc((count + 1) * sizeof *all.tensor), malloc((count + 1) * sizeof *all.rest), count};
    bool done = all.tensor && all.rest;
    for (size_t i = 0; done && i < count; i++) all.tensor[i] = wmk_model_tensor_at(model, i);
    if (done) {
        qsort(all.tensor, count, sizeof *all.tensor, by_parts);
        for (size_t i = 0; i < count; i++) all.rest[i] = all.tensor[i]->view.name;
        print_run(&all, 0);
    }
    free(all.tensor);
    free(all.rest);
    return done;
}
