/* model/format/onnx_codec.c - values that are no plain run of floats: quantised ones, by the operator DequantizeLinear and its kin, and floats with tags between. */
#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "model/format/onnx.h"

/* ---- floats with tags between ---- */

static const unsigned char *tagged_at(const wmk_tensor_view *view, const void *data, uint64_t element, size_t *stride)
{
    *stride = wmk_dtype_bits(view->dtype) / 8 + 1;
    return (const unsigned char *)data + element * *stride;
}

static void tagged_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    size_t stride;
    const unsigned char *at = tagged_at(view, view->data, element, &stride);
    for (size_t i = 0; i < count; i++) wmk_read_f64(values + i, at + i * stride, view->dtype, 1);
}

static void tagged_write(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    size_t stride;
    uint64_t offset = (uint64_t)(tagged_at(view, data, element, &stride) - (const unsigned char *)data);
    for (size_t i = 0; i < count; i++) wmk_write_f64((unsigned char *)data + offset + i * stride, view->dtype, values + i, 1);
}

const wmk_codec wmk_onnx_tagged = {"tagged", tagged_read, tagged_write, 1};

/* ---- stored numbers ---- */

bool wmk_onnx_is_number(wmk_dtype dtype)
{
    switch (dtype) {
    case WMK_F64:
    case WMK_F32:
    case WMK_F16:
    case WMK_BF16:
    case WMK_F8_E5M2:
    case WMK_F8_E4M3:
    case WMK_F8_E4M3FNUZ:
    case WMK_F8_E5M2FNUZ:
    case WMK_F8_E8M0:
    case WMK_F4:
    case WMK_I32:
    case WMK_I16:
    case WMK_I8:
    case WMK_U16:
    case WMK_U8:
    case WMK_I4:
    case WMK_U4:
    case WMK_I2:
    case WMK_U2:
        return true;
    default:
        return false;
    }
}

/* An element of two bits, or a float of four; the first is in the lowest bits of its byte. F4 is E2M1 of the OCP Microscaling Formats 1.0, section 5.3.3. */
static double narrow(const unsigned char *bytes, wmk_dtype dtype, uint64_t element)
{
    static const double f4[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    unsigned bits = wmk_dtype_bits(dtype), in_byte = 8 / bits;
    int value = bytes[element / in_byte] >> element % in_byte * bits & ((1 << bits) - 1);
    if (dtype == WMK_F4) return value & 8 ? -f4[value & 7] : f4[value & 7];
    return dtype == WMK_I2 && value & 2 ? value - 4 : value;
}

/* Integers of four bits, two a byte at once. */
static void read_fours(double *values, const unsigned char *bytes, uint64_t element, size_t count, int sign)
{
    size_t i = 0;
    for (; i < count && (element + i) % 2 != 0; i++) values[i] = ((bytes[(element + i) / 2] >> 4) ^ sign) - sign;
    const unsigned char *pairs = bytes + (element + i) / 2;
    for (; i + 2 <= count; i += 2, pairs++) {
        values[i] = ((*pairs & 15) ^ sign) - sign;
        values[i + 1] = ((*pairs >> 4) ^ sign) - sign;
    }
    if (i < count) values[i] = ((*pairs & 15) ^ sign) - sign;
}

#define READ_INTEGERS(type)                                                                                                                          \
    for (size_t i = 0; i < count; i++) {                                                                                                             \
        type value;                                                                                                                                  \
        memcpy(&value, bytes + (element + i) * sizeof value, sizeof value);                                                                          \
        values[i] = value;                                                                                                                           \
    }                                                                                                                                                \
    break

static void read_numbers(double *values, const void *data, wmk_dtype dtype, uint64_t element, size_t count)
{
    const unsigned char *bytes = data;
    switch (dtype) {
    case WMK_I8:
        READ_INTEGERS(int8_t);
    case WMK_U8:
        READ_INTEGERS(uint8_t);
    case WMK_I16:
        READ_INTEGERS(int16_t);
    case WMK_U16:
        READ_INTEGERS(uint16_t);
    case WMK_I32:
        READ_INTEGERS(int32_t);
    case WMK_F8_E8M0: /* a power of two; 255 is no number (OCP MX 1.0, section 5.4.1) */
        for (size_t i = 0; i < count; i++) values[i] = bytes[element + i] == 255 ? NAN : ldexp(1, bytes[element + i] - 127);
        break;
    case WMK_I4:
        read_fours(values, bytes, element, count, 8);
        break;
    case WMK_U4:
        read_fours(values, bytes, element, count, 0);
        break;
    case WMK_I2:
    case WMK_U2:
    case WMK_F4:
        for (size_t i = 0; i < count; i++) values[i] = narrow(bytes, dtype, element + i);
        break;
    default:
        wmk_read_f64(values, bytes + element * (wmk_dtype_bits(dtype) / 8), dtype, count);
    }
}

/* ---- quantised values ---- */

enum { RUN = 256 };

/* Of one row, elements [column, column + count), whose parameters begin at `scale` and `zero`. */
static void read_row(const wmk_onnx_scaled *q, const void *data, uint64_t row, uint64_t column, size_t count, uint64_t scale, uint64_t zero,
                     double *values)
{
    uint32_t last = q->rank - 1;
    uint64_t block = q->block[last] > 1 ? q->block[last] : 1;
    bool varies = q->scale.stride[last] != 0 || q->zero.stride[last] != 0;
    for (size_t done = 0, now; done < count; done += now, column += now) {
        double scales[RUN], zeros[RUN];
        bool each = varies && block == 1;
        now = count - done;
        if (each && now > RUN) now = RUN;
        if (varies && block > 1 && now > block - column % block) now = (size_t)(block - column % block);
        size_t scale_step = each && q->scale.stride[last] ? 1 : 0, zero_step = each && q->zero.data && q->zero.stride[last] ? 1 : 0;
        read_numbers(scales, q->scale.data, q->scale.dtype, scale + column / block * q->scale.stride[last], scale_step ? now : 1);
        zeros[0] = q->zero_default;
        if (q->zero.data) read_numbers(zeros, q->zero.data, q->zero.dtype, zero + column / block * q->zero.stride[last], zero_step ? now : 1);
        read_numbers(values + done, data, q->stored, row * q->pitch + column, now);
        for (size_t i = 0; i < now; i++) values[done + i] = (values[done + i] - zeros[i * zero_step]) * scales[i * scale_step];
    }
}

static void scaled_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    const wmk_onnx_scaled *q = view->codec_context;
    uint64_t length = q->shape[q->rank - 1];
    while (count > 0) {
        uint64_t row = element / length, column = element % length, rest = row, scale = 0, zero = 0;
        for (uint32_t axis = q->rank - 1; axis-- > 0; rest /= q->shape[axis]) {
            uint64_t place = rest % q->shape[axis] / q->block[axis];
            scale += place * q->scale.stride[axis];
            zero += place * q->zero.stride[axis];
        }
        size_t now = count < length - column ? count : (size_t)(length - column);
        read_row(q, view->data, row, column, now, scale, zero, values);
        element += now;
        values += now;
        count -= now;
    }
}

const wmk_codec wmk_onnx_scaled_codec = {"scaled", scaled_read, NULL, 1};

void wmk_onnx_scaled_join(wmk_onnx_scaled *q)
{
    uint32_t rank = 0;
    if (q->rank == 0) q->shape[q->rank++] = 1; /* strides are 0 there */
    for (uint32_t axis = 0; axis < q->rank; axis++) {
        bool still = q->scale.stride[axis] == 0 && q->zero.stride[axis] == 0;
        if (still) q->block[axis] = 1;
        if (still && rank > 0 && q->scale.stride[rank - 1] == 0 && q->zero.stride[rank - 1] == 0) {
            q->shape[rank - 1] *= q->shape[axis];
            continue;
        }
        q->shape[rank] = q->shape[axis];
        q->block[rank] = q->block[axis];
        q->scale.stride[rank] = q->scale.stride[axis];
        q->zero.stride[rank] = q->zero.stride[axis];
        rank++;
    }
    q->rank = rank;
}
