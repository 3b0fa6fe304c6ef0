/* Opens bytes as an index of shards: it is read whole and the names of its shards are checked; bytes in memory have no shards beside them, so none opens. */
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wmk_model *model = NULL;
    if (!wmk_container_index.probe(data, size)) return 0; /* other containers have fuzzers of their own */
    wmk_status status = wmk_model_open_bytes(&model, data, size, "folder/input.index.json");
    FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED ||
               (status == WMK_OK && model->files[0].container != &wmk_container_index)); /* bytes that look more like something else */
    FUZZ_CHECK(status == WMK_OK || wmk_error_message()[0]);
    wmk_model_close(model);
    return 0;
}
