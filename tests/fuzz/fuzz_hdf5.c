/* Opens bytes as an HDF5 file: what any_model.h says holds of what opens. */
#include "model/format/hdf5.h"
#include "tests/fuzz/any_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* other formats have fuzzers of their own, also where an HDF5 file follows them */
    if (!wmk_hdf5_probe(data, size) || (data[0] != 0x89 && data[0] != 0)) return 0;
    return fuzz_any_model(data, size, "input.h5");
}
