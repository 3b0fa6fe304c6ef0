/* model/format/tflite.h - what the parts of the TensorFlow Lite reader share. */
#ifndef WMK_MODEL_FORMAT_TFLITE_H
#define WMK_MODEL_FORMAT_TFLITE_H

#include "model/format/flatbuffer.h"
#include "model/model.h"

typedef struct wmk_tflite {
    wmk_model *model;
    uint32_t file;
    wmk_flatbuffer buffer;
    wmk_flatbuffer_vector operator_codes, buffers, subgraphs;
} wmk_tflite;

/* What the operators of a subgraph do with one of its tensors. */
typedef struct wmk_tflite_use {
    const char *const
        *layouts;   /* [WMK_TFLITE_LAYOUTS], one for each rank it may have, NULL where there are fewer; NULL: no weights of a known operator */
    int64_t output; /* the tensor that the operator makes of it; -1: none */
} wmk_tflite_use;
enum { WMK_TFLITE_LAYOUTS = 2 };

/* uses [tensor_count], zeroed by the caller: which tensors of `subgraph` are weights, and with which layouts. */
wmk_status wmk_tflite_uses(wmk_tflite *reader, const wmk_flatbuffer_table *subgraph, wmk_tflite_use *uses, uint64_t tensor_count);

/* real = (q - zero) * scale, one pair for the tensor or one for each index of an axis. */
typedef struct wmk_tflite_scaling {
    const unsigned char *scale, *zero; /* [channels] f32, i64; in the file, unaligned */
    uint64_t channels, inner;          /* inner: elements that follow one another in one channel */
} wmk_tflite_scaling;
extern const wmk_codec wmk_tflite_codec; /* its context is a wmk_tflite_scaling */

/* Gives the view its codec when the tensor is quantised in a way that is read here; *scaling is what the codec reads, and must live as long as the view. */
wmk_status wmk_tflite_quantisation(const wmk_tflite *reader, const wmk_flatbuffer_table *tensor, wmk_tensor_view *view, wmk_tflite_scaling *scaling);

/* TFLite's names need not be unique. Of the model's tensors from `first` on, those that show the same data under the same name are listed once, and others of one name get "#2",
 * "#3", ... Each alias, up to here a text in the file, is cut at its first ';' (the converter joins the names of fused layers so). */
wmk_status wmk_tflite_names(wmk_model *model, size_t first);

#endif
