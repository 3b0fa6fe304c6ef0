/* nn/onnx_refused.h - the stored ONNX cases of our operators that the engines refuse, each with the reason. */
#ifndef WMK_TESTS_NN_ONNX_REFUSED_H
#define WMK_TESTS_NN_ONNX_REFUSED_H

static const struct {
    const char *name, *reason;
} refused[] = {
    {"test_add_uint8", "integer elements"},
    {"test_maxpool_2d_uint8", "integer elements"},
    {"test_operator_add_broadcast", "double elements"},
    {"test_operator_add_size1_broadcast", "double elements"},
    {"test_operator_add_size1_right_broadcast", "double elements"},
    {"test_operator_add_size1_singleton_broadcast", "double elements"},
};

#endif
