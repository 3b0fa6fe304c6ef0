/* model/format/npy.h - one array in NumPy's format, as a file of its own and as a member of an archive. */
#ifndef WMK_MODEL_FORMAT_NPY_H
#define WMK_MODEL_FORMAT_NPY_H

#include <weightmark/tensor.h>

/* As numpy, which reads longer ones only of files it is told to trust. */
enum { WMK_NPY_HEADER_BYTES_MAX = 10000 };

typedef struct wmk_npy {
    wmk_dtype dtype; /* NONE: a type that can only be sized */
    bool is_object;  /* pickled: never read, not even sized */
    bool swapped;    /* big-endian */
    bool fortran;    /* the first axis varies fastest */
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX];
    uint64_t head_bytes, data_bytes;
} wmk_npy;

/* How many bytes the head of an array has that begins with bytes [size] (size >= 12, or all there is). INPUT, UNSUPPORTED. */
wmk_status wmk_npy_head_bytes(const unsigned char *bytes, uint64_t size, uint64_t *head_bytes);
/* Reads that head; bytes [at least head_bytes] begin an array of content_bytes in all, head included. */
wmk_status wmk_npy_read(wmk_npy *out, const unsigned char *bytes, uint64_t content_bytes);

/* Dtype, shape, size and codec of the view; `npy` must live as long as it. True: the elements can be read, or copied, where they lie, so that the caller may set view->data. */
bool wmk_npy_describe(wmk_tensor_view *view, const wmk_npy *npy);

#endif
