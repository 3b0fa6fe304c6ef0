/* wmk_tensor_values: bytes written by hand from the formats' definitions, at an odd address. */
#include "cmocka_wmk.h"

#include <math.h>

#include <weightmark/tensor.h>

static void reads_every_float_type(void **state)
{
    (void)state;
    static const unsigned char half[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00};                           /* 1, -2, 2^-24 */
    static const unsigned char brain[] = {0x80, 0x3f, 0x20, 0xc1, 0x00, 0x00};                          /* 1, -10, 0 */
    static const unsigned char single[] = {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc1, 0xdb, 0x0f, 0x49, 0x40}; /* 1, -10, pi as float */
    static const unsigned char real[] = {0x18, 0x2d, 0x44, 0x54, 0xfb, 0x21, 0x09, 0x40};               /* pi */
    unsigned char odd[32];
    double values[3];
    wmk_tensor_view view = {.name = "t", .dtype = WMK_F16, .rank = 2, .shape = {3, 1}, .data = odd + 1};
    memcpy(odd + 1, half, sizeof half);
    assert_ok(wmk_tensor_values(&view, values));
    assert_true(values[0] == 1 && values[1] == -2 && values[2] == ldexp(1, -24));
    view.dtype = WMK_BF16;
    memcpy(odd + 1, brain, sizeof brain);
    assert_ok(wmk_tensor_values(&view, values));
    assert_true(values[0] == 1 && values[1] == -10 && values[2] == 0);
    view.dtype = WMK_F32;
    memcpy(odd + 1, single, sizeof single);
    assert_ok(wmk_tensor_values(&view, values));
    assert_true(values[0] == 1 && values[1] == -10 && values[2] == 13176795 / ldexp(1, 22));
    view.dtype = WMK_F64;
    view.shape[0] = 1;
    memcpy(odd + 1, real, sizeof real);
    assert_ok(wmk_tensor_values(&view, values));
    assert_true(values[0] == M_PI);
}

/* The infinities and NaNs of the eight-bit floats (their numbers: tests/interop/test_eight_bit_floats.py). */
static void reads_what_is_no_number(void **state)
{
    (void)state;
    static const struct {
        wmk_dtype dtype;
        unsigned char nans[8], infinity; /* 0: none */
        size_t nan_count;
    } kinds[] = {{WMK_F8_E4M3, {0x7f, 0xff}, 0, 2},
                 {WMK_F8_E5M2, {0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff}, 0x7c, 6},
                 {WMK_F8_E4M3FNUZ, {0x80}, 0, 1},
                 {WMK_F8_E5M2FNUZ, {0x80}, 0, 1}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        unsigned char all[256];
        double values[256];
        size_t nans = 0, infinities = 0;
        wmk_tensor_view view = {.name = "t", .dtype = kinds[i].dtype, .rank = 1, .shape = {256}, .data = all};
        for (unsigned k = 0; k < 256; k++) all[k] = (unsigned char)k;
        assert_ok(wmk_tensor_values(&view, values));
        for (unsigned k = 0; k < 256; k++) nans += isnan(values[k]) != 0, infinities += isinf(values[k]) != 0;
        for (size_t k = 0; k < kinds[i].nan_count; k++) assert_true(isnan(values[kinds[i].nans[k]]));
        assert_int_equal(nans, kinds[i].nan_count);
        assert_int_equal(infinities, kinds[i].infinity ? 2 : 0);
        if (kinds[i].infinity) assert_true(isinf(values[kinds[i].infinity]) && values[kinds[i].infinity] > 0);
        assert_true(wmk_tensor_is_readable(&view) && !wmk_tensor_is_writable(&view));
    }
}

static void refuses(void **state)
{
    (void)state;
    double values[4];
    wmk_tensor_view view = {.name = "layer", .dtype = WMK_I8, .rank = 1, .shape = {4}, .data = "abcd"};
    assert_fails(wmk_tensor_values(&view, values), WMK_ERROR_UNSUPPORTED, "layer");
    view.dtype = WMK_F32;
    view.data = NULL;
    assert_fails(wmk_tensor_values(&view, values), WMK_ERROR_ARGUMENT, "no data");
    view.data = values;
    view.rank = 2;
    view.shape[0] = view.shape[1] = UINT64_C(1) << 40;
    assert_fails(wmk_tensor_values(&view, values), WMK_ERROR_ARGUMENT, "overflows");
    view.rank = WMK_RANK_MAX + 1;
    assert_fails(wmk_tensor_values(&view, values), WMK_ERROR_ARGUMENT, "9 axes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_every_float_type), cmocka_unit_test(reads_what_is_no_number),
                                       cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
