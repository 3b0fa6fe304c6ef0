/* model/format/hdf5.c - HDF5 files (.h5, .hdf5): what h5py, Keras and many others write. https://support.hdfgroup.org/documentation/hdf5/latest/_s_p_e_c.html,
 * "HDF5 File Format Specification Version 3.0". A tensor is a dataset of numbers, named by its path. */
#include "model/format/hdf5.h"
#include "model/patch.h"

static int probe(const unsigned char *bytes, size_t size) { return wmk_hdf5_probe(bytes, size) ? 95 : 0; }

static wmk_status open_hdf5(wmk_model *model, uint32_t file)
{
    wmk_hdf5_state *state;
    WMK_TRY(wmk_hdf5_read(&state, model, file, 0, model->files[file].map.size, NULL));
    model->files[file].state = state;
    return WMK_OK;
}

static wmk_status unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    return wmk_hdf5_unpack_tensor(model->files[tensor->file].state, model, tensor, bytes);
}

static wmk_status finish(wmk_patch *patch, uint32_t file) { return wmk_hdf5_finish(wmk_patch_model(patch)->files[file].state, patch, file, true); }

const wmk_container wmk_container_hdf5 = {"hdf5", ".h5", probe, open_hdf5, unpack, finish};
