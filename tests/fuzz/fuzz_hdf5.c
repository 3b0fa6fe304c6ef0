/* Opens bytes as an HDF5 file: what any_model.h says holds of what opens. */
#include "model/format/hdf5.h"
#include "tests/fuzz/any_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_any_model(data, size, "input.h5"); }
