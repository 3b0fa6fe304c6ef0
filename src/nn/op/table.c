/* op/table.c - finding an operator, and checks that several operators share. */
#include <string.h>
#include "nn/op.h"
#include "nn/op/list.h"

#define DECLARE(name) extern const wmk_operator wmk_op_##name;
WMK_OPERATORS(DECLARE)
#define ROW(name) &wmk_op_##name,
static const wmk_operator *const operators[] = {WMK_OPERATORS(ROW) NULL};

const wmk_operator *const *wmk_operators(size_t *count)
{
    for (*count = 0; operators[*count];) ++*count;
    return operators;
}

const wmk_operator *wmk_operator_find(const char *name)
{
    for (size_t i = 0; operators[i]; i++)
        if (strcmp(operators[i]->name, name) == 0) return operators[i];
    return NULL;
}

wmk_status wmk_need_rank(const wmk_call *call, size_t i, uint32_t rank)
{
    const wmk_type *type = &call->in_type[i];
    if (type->rank == rank && type->dtype == WMK_F32) return WMK_OK;
    char text[WMK_TYPE_TEXT_MAX];
    return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "input %zu is %s of %s; it must have %u axes of f32", i, wmk_type_text(type, text),
                         wmk_dtype_name(type->dtype), rank);
}

wmk_status wmk_need_vector(const wmk_call *call, size_t i, int64_t count)
{
    const wmk_type *type = &call->in_type[i];
    if (i >= call->node->input_count || call->node->inputs[i] == WMK_VALUE_NONE) return WMK_OK;
    if (type->rank == 1 && type->dims[0] == count && type->dtype == WMK_F32) return WMK_OK;
    char text[WMK_TYPE_TEXT_MAX];
    return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "input %zu is %s; it must hold %lld f32, one a channel", i, wmk_type_text(type, text),
                         (long long)count);
}
