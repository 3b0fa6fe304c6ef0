/* Opens bytes as NumPy's array: tests/fuzz/any_model.h says what must hold. */
#include "tests/fuzz/any_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_any_model(data, size, "fuzz.npy"); }
