/* model/format/onnx_recurrent.c - weights of LSTM, GRU and RNN as PyTorch and Keras have them: a matrix a direction, its gates in their order.
 *
 * ONNX: [directions, gates * hidden, inputs], gates i o f c (LSTM) and z r h (GRU); docs/Operators.md. PyTorch: [gates * hidden, inputs], gates i f g o and r z n; torch.nn.LSTM and
 * torch.nn.GRU, where layer k's are called weight_ih_l<k> and weight_hh_l<k>, with "_reverse" for the second direction. */
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "model/format/onnx.h"

/* The places in ONNX of PyTorch's gates. */
typedef struct gates {
    uint32_t count;
    uint8_t place[4];
} gates;

static const gates lstm = {4, {0, 2, 3, 1}}, gru = {3, {1, 0, 2}};

/* Walks elements [element, element + count) in PyTorch's order, a row at a time: `at` is where `now` of them lie in the stored order. */
static uint64_t place(const wmk_tensor_view *view, uint64_t element, size_t count, size_t *now)
{
    const gates *g = view->codec_context;
    uint64_t columns = view->shape[1], hidden = view->shape[0] / g->count, row = element / columns, column = element % columns;
    *now = count < columns - column ? count : (size_t)(columns - column);
    return (g->place[row / hidden] * hidden + row % hidden) * columns + column;
}

static void gates_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    size_t size = wmk_dtype_bits(view->dtype) / 8;
    for (size_t now; count > 0; count -= now, element += now, values += now) {
        uint64_t at = place(view, element, count, &now);
        wmk_read_f64(values, (const unsigned char *)view->data + at * size, view->dtype, now);
    }
}

static void gates_write(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    size_t size = wmk_dtype_bits(view->dtype) / 8;
    for (size_t now; count > 0; count -= now, element += now, values += now) {
        uint64_t at = place(view, element, count, &now);
        wmk_write_f64((unsigned char *)data + at * size, view->dtype, values, now);
    }
}

static const wmk_codec gates_codec = {"gates in another order", gates_read, gates_write, 1};

/* Direction `d` of `directions` as a tensor of its own. */
static wmk_status one_direction(wmk_onnx *onnx, const wmk_onnx_recurrent *use, const wmk_model_tensor *whole, uint64_t d, wmk_model_tensor *out)
{
    char *text;
    wmk_status status;
    wmk_tensor_view *view = &out->view;
    uint64_t directions = whole->view.shape[0];
    *out = *whole;
    out->size_bytes = whole->size_bytes / directions;
    out->offset_bytes += d * out->size_bytes;
    view->data = (const unsigned char *)whole->view.data + d * out->size_bytes;
    view->rank = 2;
    view->shape[0] = whole->view.shape[1];
    view->shape[1] = whole->view.shape[2];
    strcpy(view->layout, "OI");
    out->layout_known = true;
    if (use->gates > 1) {
        view->codec = &gates_codec;
        view->codec_context = use->gates == lstm.count ? &lstm : &gru;
        view->data_bytes = out->size_bytes;
    }
    WMK_TRY(wmk_format(&text, ".weight_%s_l%u%s", use->of_state ? "hh" : "ih", use->layer, d > 0 ? "_reverse" : ""));
    status = wmk_onnx_alias(onnx, whole->view.name, use->node, use->scopes, text, &out->alias);
    free(text);
    if (status != WMK_OK || directions == 1) return status;
    WMK_TRY(wmk_format(&text, "%s[%u]", whole->view.name, (unsigned)d));
    status = wmk_onnx_keep_text(onnx, (wmk_onnx_text){text, strlen(text)}, &view->name);
    free(text);
    return status;
}

wmk_status wmk_onnx_set_recurrent(wmk_onnx *onnx, size_t index, const wmk_onnx_recurrent *use, bool *done)
{
    wmk_model_tensor whole = onnx->model->tensors[index], first, second;
    const wmk_tensor_view *view = &whole.view;
    *done = view->rank == 3 && (view->shape[0] == 1 || view->shape[0] == 2) && view->shape[1] % use->gates == 0 && wmk_dtype_is_float(view->dtype) &&
            view->data && !view->codec && !whole.packed && !whole.layout_known;
    if (!*done) return WMK_OK;
    WMK_TRY(one_direction(onnx, use, &whole, 0, &first));
    if (view->shape[0] == 2) {
        WMK_TRY(one_direction(onnx, use, &whole, 1, &second));
        WMK_TRY(wmk_model_add_tensor(onnx->model, &second));
    }
    onnx->model->tensors[index] = first;
    return WMK_OK;
}
