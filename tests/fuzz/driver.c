/* Gives every file of the folders named on the command line to a fuzz target, so that any compiler runs the corpora. */
#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "tests/fuzz/fuzz.h"

static int run_file(const char *path)
{
    unsigned char *bytes;
    size_t size;
    if (wmk_file_read(&bytes, &size, path, 1 << 26) != WMK_OK) {
        fprintf(stderr, "%s\n", wmk_error_message());
        return -1;
    }
    /* A block of exactly the input's size, so that the sanitizer sees a byte read past it. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) {
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(bytes);
    return exact ? 0 : -1;
}

int main(int count, char **arguments)
{
    static char path[4096];
    int files = 0, failed = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        if (!folder) {
            perror(arguments[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", arguments[i], entry->d_name);
            failed |= run_file(path);
            files++;
        }
        closedir(folder);
    }
    printf("%d inputs\n", files);
    return failed || files == 0;
}
