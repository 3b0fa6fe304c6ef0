/* data/augment.c - padding, augmentation, normalisation of one image. */
#include <math.h>

#include "data/augment.h"

#define SIDE WMK_IMAGE_SIZE
#define AREA ((size_t)SIDE * SIDE)
#define CROP_PADDING 4
#define ROTATION_DEGREES 10.0
#define SHIFT_PIXELS 5.0 /* 5/32 of the side */

/* Pixel values as floats into a zeroed canvas [channels][32][32]. */
static void pad(const wmk_dataset *dataset, size_t index, float *canvas)
{
    const uint32_t h = dataset->height, w = dataset->width, top = (SIDE - h) / 2, left = (SIDE - w) / 2;
    const uint8_t *p = dataset->pixels + index * dataset->channels * h * w;
    for (uint32_t c = 0; c < dataset->channels; c++)
        for (uint32_t y = 0; y < h; y++)
            for (uint32_t x = 0; x < w; x++) canvas[c * AREA + (size_t)(top + y) * SIDE + left + x] = *p++;
}

/* -1 -> 1, 32 -> 30: reflection that does not repeat the edge, as the WRN paper's code fills its 4 pixels of padding. */
static int reflect(int i) { return i < 0 ? -i : i >= SIDE ? 2 * (SIDE - 1) - i : i; }

static void crop_and_flip(const float *canvas, uint32_t channels, wmk_stream *stream, float *out)
{
    int dy = (int)wmk_stream_below(stream, 2 * CROP_PADDING + 1) - CROP_PADDING;
    int dx = (int)wmk_stream_below(stream, 2 * CROP_PADDING + 1) - CROP_PADDING;
    bool flip = wmk_stream_below(stream, 2);
    for (uint32_t c = 0; c < channels; c++)
        for (int y = 0; y < SIDE; y++) {
            const float *row = canvas + c * AREA + (size_t)reflect(y + dy) * SIDE;
            for (int x = 0; x < SIDE; x++) *out++ = row[reflect((flip ? SIDE - 1 - x : x) + dx)];
        }
}

static float clamp(double v) { return (float)(v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : v); }

/* The reference code's ImageDataGenerator: rotation, shift, horizontal flip, each uniform; outside the image the nearest edge pixel counts
 * (its fill mode). Interpolation here is bilinear. */
static void rotate_shift_flip(const float *canvas, uint32_t channels, wmk_stream *stream, float *out)
{
    double angle = (2 * wmk_stream_uniform(stream) - 1) * ROTATION_DEGREES * (3.14159265358979323846 / 180);
    double ty = (2 * wmk_stream_uniform(stream) - 1) * SHIFT_PIXELS, tx = (2 * wmk_stream_uniform(stream) - 1) * SHIFT_PIXELS;
    bool flip = wmk_stream_below(stream, 2);
    const double s = sin(angle), k = cos(angle), centre = (SIDE - 1) / 2.0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double u = (flip ? SIDE - 1 - x : x) - centre, v = y - centre;
            float fx = clamp(k * u - s * v + centre + tx), fy = clamp(s * u + k * v + centre + ty);
            size_t x0 = (size_t)fx, y0 = (size_t)fy, x1 = x0 + (x0 < SIDE - 1), y1 = y0 + (y0 < SIDE - 1);
            float ax = fx - (float)x0, ay = fy - (float)y0;
            for (uint32_t c = 0; c < channels; c++) {
                const float *p = canvas + c * AREA;
                float upper = p[y0 * SIDE + x0] * (1 - ax) + p[y0 * SIDE + x1] * ax;
                float lower = p[y1 * SIDE + x0] * (1 - ax) + p[y1 * SIDE + x1] * ax;
                out[c * AREA + (size_t)y * SIDE + (size_t)x] = upper * (1 - ay) + lower * ay;
            }
        }
}

void wmk_augment(const wmk_dataset *dataset, size_t index, wmk_augmentation augmentation, wmk_stream stream, float *out)
{
    float canvas[WMK_IMAGE_ELEMENTS] = {0}, moved[WMK_IMAGE_ELEMENTS] = {0};
    const float *values = moved;
    pad(dataset, index, canvas);
    if (augmentation == WMK_AUGMENT_CROP_FLIP)
        crop_and_flip(canvas, dataset->channels, &stream, moved);
    else if (augmentation == WMK_AUGMENT_REFERENCE)
        rotate_shift_flip(canvas, dataset->channels, &stream, moved);
    else
        values = canvas;
    for (uint32_t c = 0; c < WMK_IMAGE_CHANNELS; c++) {
        const float *from = values + (dataset->channels == 1 ? 0 : c * AREA);
        const float mean = dataset->mean[c], deviation = dataset->deviation[c];
        for (size_t i = 0; i < AREA; i++) out[c * AREA + i] = (from[i] / 255 - mean) / deviation;
    }
}
