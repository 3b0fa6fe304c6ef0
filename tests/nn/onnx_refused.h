/* nn/onnx_refused.h - the stored ONNX cases of our operators that the engines refuse, each with the reason. Each release of the data has some of them. */
#ifndef WMK_TESTS_NN_ONNX_REFUSED_H
#define WMK_TESTS_NN_ONNX_REFUSED_H

static const struct {
    const char *name, *reason;
} refused[] = {
    {"test_add_uint8", "integer elements"},
    {"test_maxpool_2d_uint8", "integer elements"},
    {"test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True", "ceil_mode together with count_include_pad"},
    {"test_operator_add_broadcast", "double elements"},
    {"test_operator_add_size1_broadcast", "double elements"},
    {"test_operator_add_size1_right_broadcast", "double elements"},
    {"test_operator_add_size1_singleton_broadcast", "double elements"},
    {"test_maxpool_with_argmax_2d_precomputed_pads", "the indices of the maxima as a second output"},
    {"test_maxpool_with_argmax_2d_precomputed_strides", "the indices of the maxima as a second output"},
    {"test_sce_NCd1_mean_weight_negative_ii", "weights for the classes"},
    {"test_sce_NCd1_mean_weight_negative_ii_log_prob", "weights for the classes"},
    {"test_sce_NCd1d2d3_none_no_weight_negative_ii", "reduction 'none'"},
    {"test_sce_NCd1d2d3_none_no_weight_negative_ii_log_prob", "the log probabilities as a second output"},
    {"test_sce_NCd1d2d3_sum_weight_high_ii", "weights for the classes"},
    {"test_sce_NCd1d2d3_sum_weight_high_ii_log_prob", "weights for the classes"},
    {"test_sce_NCd1d2d3d4d5_mean_weight", "weights for the classes"},
    {"test_sce_NCd1d2d3d4d5_mean_weight_log_prob", "weights for the classes"},
    {"test_sce_NCd1d2d3d4d5_none_no_weight", "reduction 'none'"},
    {"test_sce_NCd1d2d3d4d5_none_no_weight_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_3d_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_no_weight_ii_3d_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_no_weight_ii_4d_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_no_weight_ii_log_prob", "the log probabilities as a second output"},
    {"test_sce_mean_weight", "weights for the classes"},
    {"test_sce_mean_weight_ii", "weights for the classes"},
    {"test_sce_mean_weight_ii_3d", "weights for the classes"},
    {"test_sce_mean_weight_ii_3d_log_prob", "weights for the classes"},
    {"test_sce_mean_weight_ii_4d", "weights for the classes"},
    {"test_sce_mean_weight_ii_4d_log_prob", "weights for the classes"},
    {"test_sce_mean_weight_ii_log_prob", "weights for the classes"},
    {"test_sce_mean_weight_log_prob", "weights for the classes"},
    {"test_sce_none", "reduction 'none'"},
    {"test_sce_none_log_prob", "the log probabilities as a second output"},
    {"test_sce_none_weights", "weights for the classes"},
    {"test_sce_none_weights_log_prob", "weights for the classes"},
    {"test_sce_sum_log_prob", "the log probabilities as a second output"},
};

#endif
