/* Checked arithmetic and allocation at their edges. */
#include <stdlib.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "cmocka_wmk.h"

static void products_are_checked(void **state)
{
    (void)state;
    uint64_t out, shape[] = {UINT64_C(1) << 32, UINT64_C(1) << 31, 2};
    assert_true(wmk_product_u64(shape, 0, &out));
    assert_int_equal(out, 1);
    assert_true(wmk_product_u64(shape, 2, &out));
    assert_true(out == UINT64_C(1) << 63);
    assert_false(wmk_product_u64(shape, 3, &out));
    assert_false(wmk_add_u64(UINT64_MAX, 1, &out));
    assert_true(wmk_add_u64(UINT64_MAX - 1, 1, &out));
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    char *block = NULL;
    assert_fails(wmk_alloc(&block, SIZE_MAX / 2, 3), WMK_ERROR_MEMORY, "out of memory");
    assert_fails(wmk_alloc(&block, SIZE_MAX / 2, 1), WMK_ERROR_MEMORY, "out of memory");
    assert_fails(wmk_alloc_aligned(&block, SIZE_MAX - 3), WMK_ERROR_MEMORY, "out of memory");
    assert_null(block);
    assert_ok(wmk_alloc(&block, 4, 1));
    memcpy(block, "abc", 4);
    char *before = block;
    assert_fails(wmk_resize(&block, SIZE_MAX / 2, 4), WMK_ERROR_MEMORY, "out of memory");
    assert_ptr_equal(block, before);
    assert_string_equal(block, "abc");
    free(block);
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    unsigned char *block = NULL;
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        assert_ok(wmk_alloc_aligned(&block, bytes));
        assert_int_equal((uintptr_t)block % 64, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(block[i], 0);
        wmk_free_aligned(block);
    }
    assert_ok(wmk_alloc(&block, 0, 8));
    assert_non_null(block);
    free(block);
}

static void large_blocks_cost_nothing_until_touched(void **state)
{
    (void)state;
    enum { BYTES = 256 << 20 };
    struct rusage before, after;
    unsigned char *block = NULL;
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    assert_ok(wmk_alloc_aligned(&block, BYTES));
    assert_int_equal(block[BYTES - 1], 0);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true((after.ru_maxrss - before.ru_maxrss) * 1024 < BYTES / 2); /* some for a sanitizer's bookkeeping */
    wmk_free_aligned(block);
    wmk_free_aligned(NULL);
}

static void buffers_grow(void **state)
{
    (void)state;
    wmk_buffer buffer = {0};
    for (int i = 0; i < 1000; i++) assert_ok(wmk_buffer_printf(&buffer, "%d,", i));
    assert_ok(wmk_buffer_append(&buffer, "", 1));
    assert_int_equal(strlen((char *)buffer.data), 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(buffer.data + 3890 - 8, "998,999,", 8);
    assert_fails(wmk_buffer_append(&buffer, "x", SIZE_MAX - 10), WMK_ERROR_MEMORY, "out of memory");
    wmk_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void texts_are_formatted(void **state)
{
    (void)state;
    char *text = NULL;
    assert_ok(wmk_format(&text, "%s-%d", "wrn", 10));
    assert_string_equal(text, "wrn-10");
    free(text);
    assert_ok(wmk_strdup(&text, ""));
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_checked),         cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(memory_is_zeroed_and_aligned), cmocka_unit_test(buffers_grow),
        cmocka_unit_test(texts_are_formatted),          cmocka_unit_test(large_blocks_cost_nothing_until_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
