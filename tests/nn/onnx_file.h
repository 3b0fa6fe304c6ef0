/* nn/onnx_file.h - just enough of ONNX's protobuf messages to read the backend test data: an independent reader, for tests only. */
#ifndef WMK_TESTS_NN_ONNX_FILE_H
#define WMK_TESTS_NN_ONNX_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ONNX_LIST_MAX 32
#define ONNX_NAME_MAX 128

enum { ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT32 = 6, ONNX_INT64 = 7 }; /* TensorProto.DataType */

typedef struct onnx_tensor {
    char name[ONNX_NAME_MAX];
    int64_t dims[ONNX_LIST_MAX];
    size_t rank, count;
    int type;
    float *floats;     /* [count] where type is FLOAT, else NULL; owned */
    int64_t *integers; /* [count] where type is INT32 or INT64, else NULL; owned */
} onnx_tensor;

typedef struct onnx_attribute {
    char name[ONNX_NAME_MAX], s[ONNX_NAME_MAX];
    int type; /* AttributeProto.AttributeType: 1 FLOAT, 2 INT, 3 STRING, 7 INTS, others are not read */
    float f;
    int64_t i, ints[ONNX_LIST_MAX];
    size_t ints_count;
} onnx_attribute;

typedef struct onnx_node {
    char op[ONNX_NAME_MAX];
    char inputs[16][ONNX_NAME_MAX], outputs[16][ONNX_NAME_MAX];
    size_t input_count, output_count;
    onnx_attribute attributes[16];
    size_t attribute_count;
} onnx_node;

typedef struct onnx_model {
    int64_t opset;    /* of the default domain */
    onnx_node *nodes; /* [node_count], owned */
    size_t node_count;
    onnx_tensor initializers[ONNX_LIST_MAX];
    size_t initializer_count;
    char inputs[ONNX_LIST_MAX][ONNX_NAME_MAX], outputs[ONNX_LIST_MAX][ONNX_NAME_MAX];
    size_t input_count, output_count;
} onnx_model;

/* False: the file is missing, not a message of this kind, or holds more than the limits above. */
bool onnx_model_read(onnx_model *out, const char *path);
void onnx_model_free(onnx_model *model);
bool onnx_tensor_read(onnx_tensor *out, const char *path);
void onnx_tensor_free(onnx_tensor *tensor);

#endif
