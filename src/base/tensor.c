/* base/tensor.c - element types and layouts. */
#include <string.h>

#include <weightmark/tensor.h>

/* Indexed by wmk_dtype. */
static const struct {
    const char *name;
    uint32_t bits;
    bool is_float;
} dtypes[] = {
    {"none", 0, false},    {"f64", 64, true},     {"f32", 32, true},  {"f16", 16, true},         {"bf16", 16, true},        {"f8_e5m2", 8, false},
    {"f8_e4m3", 8, false}, {"i64", 64, false},    {"i32", 32, false}, {"i16", 16, false},        {"i8", 8, false},          {"u64", 64, false},
    {"u32", 32, false},    {"u16", 16, false},    {"u8", 8, false},   {"bool", 8, false},        {"f8_e8m0", 8, false},     {"f4", 4, false},
    {"f6_e2m3", 6, false}, {"f6_e3m2", 6, false}, {"c64", 64, false}, {"f8_e4m3fnuz", 8, false}, {"f8_e5m2fnuz", 8, false},
};

static unsigned known(wmk_dtype dtype)
{
    unsigned index = (unsigned)dtype;
    return index < sizeof dtypes / sizeof dtypes[0] ? index : 0;
}

uint32_t wmk_dtype_bits(wmk_dtype dtype) { return dtypes[known(dtype)].bits; }

const char *wmk_dtype_name(wmk_dtype dtype) { return dtypes[known(dtype)].name; }

bool wmk_dtype_is_float(wmk_dtype dtype) { return dtypes[known(dtype)].is_float; }

bool wmk_layout_is_valid(const char *layout, uint32_t rank)
{
    if (rank == 0 || rank > WMK_RANK_MAX || strnlen(layout, WMK_RANK_MAX + 1) != rank) return false;
    for (uint32_t axis = 0; axis < rank; axis++)
        if (!strchr("OIDHW", layout[axis]) || strchr(layout + axis + 1, layout[axis])) return false;
    return strchr(layout, 'O') != NULL;
}
