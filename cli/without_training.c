/* cli/without_training.c - the commands of a build without the training engine: they are listed, and say why they cannot run. */
#include "command.h"

#define WITHOUT_TRAINING(command_name, line)                                                                                                         \
    const cli_command command_##command_name = {.name = #command_name,                                                                               \
                                                .operands = "",                                                                                      \
                                                .summary = line,                                                                                     \
                                                .description = "This build of weightmark has no training engine.",                                   \
                                                .examples = "",                                                                                      \
                                                .settings_bytes = sizeof(common_settings),                                                           \
                                                .unavailable = "not supported: built without the training engine"}

WITHOUT_TRAINING(train, "train, fine-tune or distil a network, with marks in it");
WITHOUT_TRAINING(eval, "test error and loss of a model that weightmark trained");
WITHOUT_TRAINING(attack, "damage a copy of a model, as an adversary or ordinary use would");
WITHOUT_TRAINING(report, "one HTML page with plots about marked models");
