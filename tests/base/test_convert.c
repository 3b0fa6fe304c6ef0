/* Half precision and bfloat16 against numpy, exact rational arithmetic and the processor's own conversion. */
#include <math.h>

#include "base/convert.h"
#include "cmocka_wmk.h"
#include "half_vectors.h"

static void doubles_are_rounded_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof half_vectors / sizeof half_vectors[0]; i++) {
        uint16_t bits = wmk_f64_to_f16(half_vectors[i].value);
        if (bits != half_vectors[i].bits) fail_msg("%a -> f16 %04x, not %04x", half_vectors[i].value, bits, half_vectors[i].bits);
    }
    for (size_t i = 0; i < sizeof bfloat_vectors / sizeof bfloat_vectors[0]; i++) {
        uint16_t bits = wmk_f64_to_bf16(bfloat_vectors[i].value);
        if (bits != bfloat_vectors[i].bits) fail_msg("%a -> bf16 %04x, not %04x", bfloat_vectors[i].value, bits, bfloat_vectors[i].bits);
    }
}

static void every_half_goes_round(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float half = wmk_f16_to_f32((uint16_t)bits), bfloat = wmk_bf16_to_f32((uint16_t)bits);
        if (isnan(half))
            assert_true(isnan(wmk_f16_to_f32(wmk_f32_to_f16(half))));
        else
            assert_int_equal(wmk_f32_to_f16(half), bits);
        if (isnan(bfloat))
            assert_true(isnan(wmk_bf16_to_f32(wmk_f32_to_bf16(bfloat))));
        else
            assert_int_equal(wmk_f32_to_bf16(bfloat), bits);
    }
}

/* The value of a half from the definition of the format. */
static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude = exponent == 31 ? INFINITY : exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void runs_agree_with_single_values(void **state)
{
    (void)state;
    enum { COUNT = 65536 };
    static uint16_t halves[COUNT + 1];
    static float values[COUNT];
    unsigned char *odd = (unsigned char *)halves + 1; /* no alignment promised */
    for (uint32_t i = 0; i < COUNT; i++) {
        uint16_t bits = (uint16_t)i;
        memcpy(odd + 2 * i, &bits, 2);
    }
    wmk_read_f32(values, odd, WMK_F16, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        float one = wmk_f16_to_f32((uint16_t)i);
        assert_memory_equal(&values[i], &one, sizeof one);
        if ((i >> 10 & 31) != 31 || !(i & 1023)) assert_true(values[i] == half_value((uint16_t)i));
    }
    wmk_read_f32(values, odd, WMK_BF16, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        float one = wmk_bf16_to_f32((uint16_t)i);
        assert_memory_equal(&values[i], &one, sizeof one);
    }
}

static void all_float_types_are_read_and_written(void **state)
{
    (void)state;
    static const wmk_dtype dtypes[] = {WMK_F64, WMK_F32, WMK_F16, WMK_BF16};
    double values[700], back[700];
    unsigned char bytes[700 * 8];
    for (int i = 0; i < 700; i++) values[i] = ldexp(128 + i % 128, i % 20 - 12) * (i % 2 ? 1 : -1); /* 8 significant bits: exact everywhere */
    for (size_t t = 0; t < 4; t++) {
        wmk_write_f64(bytes, dtypes[t], values, 700);
        wmk_read_f64(back, bytes, dtypes[t], 700);
        assert_memory_equal(values, back, sizeof values);
    }
}

static void dtypes_and_layouts(void **state)
{
    (void)state;
    assert_int_equal(wmk_dtype_bits(WMK_F4), 4);
    assert_int_equal(wmk_dtype_bits(WMK_F6_E3M2), 6);
    assert_int_equal(wmk_dtype_bits(WMK_C64), 64);
    assert_int_equal(wmk_dtype_bits((wmk_dtype)99), 0);
    assert_string_equal(wmk_dtype_name(WMK_BF16), "bf16");
    assert_string_equal(wmk_dtype_name(WMK_C64), "c64");
    assert_string_equal(wmk_dtype_name((wmk_dtype)-1), "none");
    assert_true(wmk_dtype_is_float(WMK_F16));
    assert_false(wmk_dtype_is_float(WMK_F8_E4M3));
    assert_true(wmk_layout_is_valid("OIHW", 4));
    assert_true(wmk_layout_is_valid("IO", 2));
    assert_true(wmk_layout_is_valid("DHWIO", 5));
    assert_false(wmk_layout_is_valid("OIHW", 3));
    assert_false(wmk_layout_is_valid("OIOH", 4));
    assert_false(wmk_layout_is_valid("IHW", 3));
    assert_false(wmk_layout_is_valid("OX", 2));
    assert_false(wmk_layout_is_valid("", 0));
}

/* Runs, which are converted several at a time, against single values: all ties of both types, their neighbours, and doubles of every size. */
static void runs_are_rounded_as_single_values(void **state)
{
    (void)state;
    enum { RUN = 11 };
    static const double special[] = {NAN,         -NAN,
                                     INFINITY,    -INFINITY,
                                     0x1p-1074,   -0x1p-1060,
                                     0x1p-150,    0x1.8p-150,
                                     0x1p-149,    0x1.fffffffffffffp127,
                                     -0x1.ffp127, 0x1.feffffffffff8p127,
                                     1e308,       65520,
                                     65519.999};
    double run[RUN];
    uint16_t stored[RUN];
    uint64_t random = 1;
    for (uint32_t i = 0; i < 3 * 65536; i++) {
        for (int k = 0; k < RUN; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = random ^ random >> 29;
            memcpy(&run[k], &bits, 8);
        }
        uint32_t half = i % 65536;
        double here = i < 65536 ? wmk_f16_to_f32((uint16_t)half) : wmk_bf16_to_f32((uint16_t)half);
        double next = i < 65536 ? wmk_f16_to_f32((uint16_t)(half + 1)) : wmk_bf16_to_f32((uint16_t)(half + 1));
        run[0] = here;
        run[1] = (here + next) / 2;
        run[2] = nextafter(run[1], here);
        run[3] = nextafter(run[1], next);
        run[4] = special[i % (sizeof special / sizeof *special)];
        wmk_write_f64(stored, WMK_F16, run, RUN);
        for (int k = 0; k < RUN; k++)
            if (stored[k] != wmk_f64_to_f16(run[k])) fail_msg("%a -> f16 %04x in a run, %04x alone", run[k], stored[k], wmk_f64_to_f16(run[k]));
        wmk_write_f64(stored, WMK_BF16, run, RUN);
        for (int k = 0; k < RUN; k++)
            if (stored[k] != wmk_f64_to_bf16(run[k])) fail_msg("%a -> bf16 %04x in a run, %04x alone", run[k], stored[k], wmk_f64_to_bf16(run[k]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_rounded_once),
        cmocka_unit_test(every_half_goes_round),
        cmocka_unit_test(runs_agree_with_single_values),
        cmocka_unit_test(all_float_types_are_read_and_written),
        cmocka_unit_test(dtypes_and_layouts),
        cmocka_unit_test(runs_are_rounded_as_single_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
