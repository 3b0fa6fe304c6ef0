/* model/format/tflite_quantised.c - quantised tensors: QuantizationParameters {min, max, scale, zero_point, details, quantized_dimension}; real = (q - zero_point) * scale
 * (TensorFlow Lite 8-bit quantization specification). Only read. */
#include <string.h>

#include "model/format/tflite.h"

enum { TENSOR_QUANTIZATION = 4 };
enum { QUANTIZATION_SCALE = 2, QUANTIZATION_ZERO_POINT = 3, QUANTIZATION_DETAILS_TYPE = 4, QUANTIZATION_DIMENSION = 6 };

static double load_integer(const unsigned char *data, wmk_dtype dtype, uint64_t i)
{
    int16_t i16;
    uint16_t u16;
    int32_t i32;
    switch (dtype) {
    case WMK_I8:
        return (int8_t)data[i];
    case WMK_U8:
        return data[i];
    case WMK_I16:
        memcpy(&i16, data + 2 * i, sizeof i16);
        return i16;
    case WMK_U16:
        memcpy(&u16, data + 2 * i, sizeof u16);
        return u16;
    case WMK_I32:
        memcpy(&i32, data + 4 * i, sizeof i32);
        return i32;
    default: { /* I2, I4, U4: the low bits of a byte first */
        unsigned bits = wmk_dtype_bits(dtype), per_byte = 8 / bits;
        int value = data[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
        return dtype != WMK_U4 && value >> (bits - 1) ? value - (1 << bits) : value;
    }
    }
}

static void read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    const wmk_tflite_scaling *scaling = view->codec_context;
    uint64_t channel = element / scaling->inner % scaling->channels, within = element % scaling->inner;
    for (size_t done = 0, end; done < count; done = end, within = 0, channel = channel + 1 == scaling->channels ? 0 : channel + 1) {
        float scale;
        int64_t zero;
        memcpy(&scale, scaling->scale + 4 * channel, sizeof scale);
        memcpy(&zero, scaling->zero + 8 * channel, sizeof zero);
        uint64_t here = scaling->inner - within; /* elements of this channel */
        end = here < count - done ? done + (size_t)here : count;
        for (size_t i = done; i < end; i++) values[i] = (load_integer(view->data, view->dtype, element + i) - (double)zero) * (double)scale;
    }
}

const wmk_codec wmk_tflite_codec = {"scaled integers", read, NULL, 1};

static bool is_quantised_type(wmk_dtype dtype)
{
    return dtype == WMK_I8 || dtype == WMK_U8 || dtype == WMK_I16 || dtype == WMK_U16 || dtype == WMK_I32 || dtype == WMK_I4 || dtype == WMK_U4 ||
           dtype == WMK_I2;
}

/* One scale for each index of axis `dimension`. */
static wmk_status set_channels(const wmk_tensor_view *view, int32_t dimension, wmk_tflite_scaling *scaling)
{
    if (dimension < 0 || (uint32_t)dimension >= view->rank)
        return wmk_fail(WMK_ERROR_INPUT, "it has %llu scales along axis %d of its %u", (unsigned long long)scaling->channels, dimension, view->rank);
    if (view->shape[dimension] != scaling->channels)
        return wmk_fail(WMK_ERROR_INPUT, "it has %llu scales for the %llu elements of axis %d", (unsigned long long)scaling->channels,
                        (unsigned long long)view->shape[dimension], dimension);
    scaling->inner = 1;
    for (uint32_t axis = (uint32_t)dimension + 1; axis < view->rank; axis++) scaling->inner *= view->shape[axis];
    return WMK_OK;
}

wmk_status wmk_tflite_quantisation(const wmk_tflite *reader, const wmk_flatbuffer_table *tensor, wmk_tensor_view *view, wmk_tflite_scaling *scaling)
{
    const wmk_flatbuffer *buffer = &reader->buffer;
    wmk_flatbuffer_table table;
    wmk_flatbuffer_vector scale, zero;
    uint64_t details = 0, dimension = 0;
    if (!is_quantised_type(view->dtype)) return WMK_OK;
    WMK_TRY(wmk_flatbuffer_subtable(buffer, tensor, TENSOR_QUANTIZATION, "its quantization", &table));
    WMK_TRY(wmk_flatbuffer_number(buffer, &table, QUANTIZATION_DETAILS_TYPE, 1, "the kind of its quantization", &details));
    WMK_TRY(wmk_flatbuffer_vector_of(buffer, &table, QUANTIZATION_SCALE, 4, "the list of its scales", &scale));
    WMK_TRY(wmk_flatbuffer_vector_of(buffer, &table, QUANTIZATION_ZERO_POINT, 8, "the list of its zero points", &zero));
    WMK_TRY(wmk_flatbuffer_number(buffer, &table, QUANTIZATION_DIMENSION, 4, "its quantized dimension", &dimension));
    if (details != 0 || scale.count == 0) return WMK_OK; /* custom or by blocks; or plain integers */
    if (zero.count != scale.count)
        return wmk_fail(WMK_ERROR_INPUT, "it has %llu scales and %llu zero points", (unsigned long long)scale.count, (unsigned long long)zero.count);
    *scaling = (wmk_tflite_scaling){buffer->data + scale.at, buffer->data + zero.at, scale.count, UINT64_MAX};
    if (scale.count > 1) WMK_TRY(set_channels(view, (int32_t)(uint32_t)dimension, scaling));
    view->codec = &wmk_tflite_codec;
    view->codec_context = scaling;
    return WMK_OK;
}
