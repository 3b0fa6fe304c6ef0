/* arena.c - one piece of memory for every tensor of a plan, places shared by tensors whose lives do not meet. */
#include <stdlib.h>
#include <sys/mman.h>
#include "nn/plan.h"

#define ALIGNMENT ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20) /* large pages save several per cent of a step, which streams through the whole arena */

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void find_lives(wmk_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        for (uint32_t k = 0; k < plan->steps[i].use_count; k++) {
            const wmk_tensor tensor = plan->steps[i].uses[k].tensor;
            if (tensor == WMK_TENSOR_NONE) continue;
            wmk_tensor_record *t = &plan->tensors[tensor];
            if (t->first > i) t->first = (uint32_t)i;
            if (t->last < i) t->last = (uint32_t)i;
        }
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].pinned) plan->tensors[i].first = 0, plan->tensors[i].last = UINT32_MAX;
}

/* Larger first; among equals, earlier first. */
static int by_size(const void *a, const void *b)
{
    const wmk_tensor_record *x = *(const wmk_tensor_record *const *)a, *y = *(const wmk_tensor_record *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int by_offset(const void *a, const void *b)
{
    const wmk_tensor_record *x = *(const wmk_tensor_record *const *)a, *y = *(const wmk_tensor_record *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Greedy by size: each tensor gets the lowest gap among those placed before whose lives meet its own. */
static size_t place(wmk_tensor_record **order, size_t count, wmk_tensor_record **scratch)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        wmk_tensor_record *t = order[i];
        size_t meeting = 0, offset = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= t->last && t->first <= order[j]->last) scratch[meeting++] = order[j];
        qsort(scratch, meeting, sizeof(void *), by_offset);
        for (size_t j = 0; j < meeting; j++) {
            if (offset + rounded(t->bytes) <= scratch[j]->offset) break;
            const size_t end = scratch[j]->offset + rounded(scratch[j]->bytes);
            if (end > offset) offset = end;
        }
        t->offset = offset;
        if (offset + rounded(t->bytes) > total) total = offset + rounded(t->bytes);
    }
    return total;
}

/* Zeroed by the system as it is touched. */
static wmk_status map_arena(wmk_plan *plan)
{
    plan->map_bytes = plan->arena_bytes + HUGE_PAGE;
    plan->map = mmap(NULL, plan->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (plan->map == MAP_FAILED) {
        plan->map = NULL;
        return wmk_fail_memory(plan->map_bytes);
    }
    plan->arena = (unsigned char *)plan->map + (HUGE_PAGE - (uintptr_t)plan->map % HUGE_PAGE) % HUGE_PAGE;
    (void)madvise(plan->arena, plan->arena_bytes, MADV_HUGEPAGE); /* a wish; without it the same works more slowly */
    return WMK_OK;
}

void wmk_arena_free(wmk_plan *plan)
{
    if (plan->map) (void)munmap(plan->map, plan->map_bytes);
}

wmk_status wmk_arena_build(wmk_plan *plan)
{
    find_lives(plan);
    wmk_tensor_record **order = NULL, **scratch = NULL;
    wmk_status status = wmk_alloc(&order, plan->tensor_count, sizeof(void *));
    if (status == WMK_OK) status = wmk_alloc(&scratch, plan->tensor_count, sizeof(void *));
    size_t count = 0;
    for (size_t i = 0; status == WMK_OK && i < plan->tensor_count; i++)
        if (!plan->tensors[i].data && plan->tensors[i].first != UINT32_MAX) order[count++] = &plan->tensors[i];
    if (status == WMK_OK) {
        qsort(order, count, sizeof(void *), by_size);
        plan->arena_bytes = place(order, count, scratch);
        status = map_arena(plan);
    }
    for (size_t i = 0; status == WMK_OK && i < count; i++) order[i]->data = plan->arena + order[i]->offset;
    free(order);
    free(scratch);
    for (size_t i = 0; status == WMK_OK && i < plan->step_count; i++) {
        wmk_step *step = &plan->steps[i];
        for (uint32_t k = 0; k < step->use_count; k++)
            step->data[k] = step->uses[k].tensor == WMK_TENSOR_NONE ? NULL : plan->tensors[step->uses[k].tensor].data;
        if (step->kind->bind) status = step->kind->bind(step->state, step->data);
    }
    return status;
}
