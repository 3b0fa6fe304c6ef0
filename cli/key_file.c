/* cli/key_file.c - reading keys and passphrases, and saying what a key is. */
#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void passphrase_wipe(cli_passphrase *passphrase) { explicit_bzero(passphrase, sizeof *passphrase); }

/* read(2), not stdio: no copy of the secret stays in a buffer that nobody wipes. */
static int fill(cli_passphrase *out, int fd)
{
    while (out->bytes < sizeof out->text && !memchr(out->text, '\n', out->bytes)) {
        ssize_t got = read(fd, out->text + out->bytes, sizeof out->text - out->bytes);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        out->bytes += (size_t)got;
    }
    return 0;
}

int passphrase_read(const cli_command *command, cli_passphrase *out, const char *path)
{
    memset(out, 0, sizeof *out);
    if (!path) return EXIT_DONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return complain(command, EXIT_INPUT, "passphrase file %s: %s", path, strerror(errno));
    int failed = fill(out, fd), error = errno;
    close(fd);
    if (failed) return complain(command, EXIT_INPUT, "passphrase file %s: %s", path, strerror(error));
    char *newline = memchr(out->text, '\n', out->bytes);
    if (newline) out->bytes = (size_t)(newline - out->text);
    if (out->bytes > PASSPHRASE_BYTES_MAX)
        return complain(command, EXIT_INPUT, "passphrase file %s: a line of more than %d bytes", path, PASSPHRASE_BYTES_MAX);
    if (out->bytes == 0) return complain(command, EXIT_INPUT, "passphrase file %s: its first line is empty", path);
    out->given = true;
    return EXIT_DONE;
}

int key_open(const cli_command *command, wmk_key **out, const char *path, const char *passphrase_file)
{
    cli_passphrase secret;
    int exit_code = passphrase_read(command, &secret, passphrase_file);
    if (exit_code == EXIT_DONE) {
        wmk_status status = wmk_key_read(out, path, secret.given ? secret.text : NULL, secret.bytes);
        if (status != WMK_OK) exit_code = library_error(command, status);
    }
    passphrase_wipe(&secret);
    return exit_code;
}

void shape_text(uint32_t rank, const uint64_t *shape, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    if (used < size) snprintf(text + used, size - used, "]");
}

json_t *shape_json(uint32_t rank, const uint64_t *shape)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < rank; i++) json_append(&array, json_integer((json_int_t)shape[i]));
    return array;
}

static bool original_text(const wmk_key *key, char text[2 * WMK_ORIGINAL_BYTES + 1])
{
    uint8_t digest[WMK_ORIGINAL_BYTES];
    bool bound = wmk_key_original(key, digest);
    for (int i = 0; i < WMK_ORIGINAL_BYTES; i++) snprintf(text + (ptrdiff_t)2 * i, 3, "%02x", digest[i]);
    return bound;
}

static json_t *original_json(const wmk_key *key)
{
    char text[2 * WMK_ORIGINAL_BYTES + 1];
    return original_text(key, text) ? json_string(text) : json_null();
}

json_t *key_json(const wmk_key *key, const char *path, const key_date *date)
{
    char id[WMK_KEY_ID_CHARS + 1], created[UTC_CHARS];
    json_t *targets = json_array();
    wmk_key_id(key, id);
    utc_text(wmk_key_created(key), created);
    for (size_t i = 0; i < wmk_key_target_count(key); i++) {
        const wmk_target *target = wmk_key_target(key, i);
        json_append(&targets, json_pack("{s:o, s:s, s:o}", "name", json_text(target->name), "layout", target->layout, "shape",
                                        shape_json(target->rank, target->shape)));
    }
    return json_pack("{s:o, s:s, s:s, s:s, s:i, s:I, s:b, s:s, s:o, s:o, s:o, s:o}", "key", json_text(path), "key_id", id, "scheme",
                     wmk_scheme_name(wmk_key_scheme(key)), "carrier", wmk_carrier_name(wmk_key_carrier(key)), "bits", (int)wmk_key_bit_count(key),
                     "m", (json_int_t)wmk_key_m(key), "ones", (int)wmk_key_ones(key), "created", created, "dated", key_dated_json(date), "dated_by",
                     key_dated_by_json(date), "original", original_json(key), "targets", targets);
}

void key_print(const wmk_key *key, const key_date *date)
{
    enum { SHOWN = 24 };
    char id[WMK_KEY_ID_CHARS + 1], created[UTC_CHARS], original[2 * WMK_ORIGINAL_BYTES + 1];
    wmk_key_id(key, id);
    utc_text(wmk_key_created(key), created);
    printf("key id    %s\n", id);
    printf("scheme    %s, carrier %s\n", wmk_scheme_name(wmk_key_scheme(key)), wmk_carrier_name(wmk_key_carrier(key)));
    printf("bits      T = %u%s over M = %llu\n", wmk_key_bit_count(key), wmk_key_ones(key) ? ", all ones," : "", (unsigned long long)wmk_key_m(key));
    printf("created   %s (says the key)\n", created);
    key_date_print(date);
    printf("original  %s\n", original_text(key, original) ? original : "none: the key is bound to no model");
    size_t count = wmk_key_target_count(key), shown = count > SHOWN + 1 ? SHOWN : count;
    for (size_t i = 0; i < shown; i++) {
        const wmk_target *target = wmk_key_target(key, i);
        char shape[256];
        shape_text(target->rank, target->shape, shape, sizeof shape);
        printf("%s", i ? "          " : "targets   ");
        print_name(target->name, 0);
        printf(" %s %s\n", target->layout, shape);
    }
    if (shown < count) printf("          ... and %zu more (--json has all)\n", count - shown);
}
