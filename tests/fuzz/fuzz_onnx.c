/* Opens bytes as an ONNX file. What opens is whole, and no alias is another tensor's name or alias. */
#include "tests/fuzz/any_model.h"

static void check_aliases(const uint8_t *data, size_t size)
{
    wmk_model *model = NULL;
    if (wmk_model_open_bytes(&model, data, size, "fuzz.onnx") != WMK_OK) return;
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const char *alias = wmk_model_tensor_at(model, i)->alias;
        if (!alias) continue;
        FUZZ_CHECK(!wmk_model_find(model, alias));
        for (size_t k = 0; k < i && k < 64; k++)
            FUZZ_CHECK(!wmk_model_tensor_at(model, k)->alias || strcmp(wmk_model_tensor_at(model, k)->alias, alias) != 0);
    }
    wmk_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (wmk_container_onnx.probe(data, size) == 0) return -1; /* another container's; each has a target of its own */
    check_aliases(data, size);
    return fuzz_any_model(data, size, "fuzz.onnx");
}
