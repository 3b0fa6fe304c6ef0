/* cli/cmd_key.c - weightmark key: what a key file is, never its secrets, and its time stamp. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "key_file.h"

typedef struct key_settings {
    common_settings common;
    const char *passphrase_file, *request, *timestamp, *ca;
    bool force;
} key_settings;

/* ---- a request ---- */

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void print_request(const char *key, const char *request, const char *id)
{
    printf("key id    %s\nwritten   ", id);
    print_name(request, 0);
    printf(" (a time-stamp request)\n");
    if (!is_terminal(STDOUT_FILENO)) return;
    printf("next      send it to a time-stamping authority of your choice, for example\n"
           "          curl -sS -H 'Content-Type: application/timestamp-query' --data-binary @");
    print_name(request, 0);
    printf(" -o answer.tsr https://AUTHORITY/\n"
           "          then check and store its answer with the authority's certificates\n"
           "          weightmark key ");
    print_name(key, 0);
    printf(" --timestamp answer.tsr --ca authority.pem\n");
}

static int write_request(const cli_call *call, const char *path)
{
    const key_settings *settings = call->settings;
    char id[WMK_KEY_ID_CHARS + 1];
    if (is_same_file(path, settings->request))
        return complain(call->command, EXIT_INPUT, "%s: is the key, which a request must not replace", settings->request);
    wmk_status status = wmk_key_file_id(id, path);
    if (status == WMK_OK) status = wmk_timestamp_request(id, settings->request, settings->force);
    if (status != WMK_OK) return library_error(call->command, status);
    if (call->common->json)
        return print_json(call, json_pack("{s:o, s:s, s:o}", "key", json_text(path), "key_id", id, "request", json_text(settings->request)));
    print_request(path, settings->request, id);
    return EXIT_DONE;
}

/* ---- an answer ---- */

static void print_stamp(const wmk_timestamp *stamp)
{
    printf("accuracy  ");
    if (stamp->accuracy_microseconds < 0)
        printf("not stated\n");
    else
        printf("%g s\n", (double)stamp->accuracy_microseconds / 1e6);
    printf("serial    %s, policy %s\n", stamp->serial, stamp->policy);
}

static int store_answer(const cli_call *call, const char *path)
{
    const key_settings *settings = call->settings;
    wmk_authorities *authorities;
    key_date date = {.state = KEY_DATED};
    char id[WMK_KEY_ID_CHARS + 1];
    int exit_code = authorities_open(call->command, &authorities, settings->ca);
    if (exit_code != EXIT_DONE) return exit_code;
    wmk_status status = wmk_key_file_stamp(&date.stamp, path, settings->timestamp, authorities, settings->force);
    if (status == WMK_OK) status = wmk_key_file_id(id, path);
    wmk_authorities_free(authorities);
    if (status != WMK_OK) return library_error(call->command, status);
    if (call->common->json)
        return print_json(call, json_pack("{s:o, s:s, s:o, s:o}", "key", json_text(path), "key_id", id, "dated", key_dated_json(&date), "dated_by",
                                          key_dated_by_json(&date)));
    printf("key id    %s\n", id);
    key_date_print(&date);
    print_stamp(&date.stamp);
    printf("stored    in ");
    print_name(path, 0);
    putchar('\n');
    return EXIT_DONE;
}

/* ---- what the key is ---- */

static int show(const cli_call *call, const char *path)
{
    const key_settings *settings = call->settings;
    wmk_authorities *authorities;
    wmk_key *key = NULL;
    key_date date;
    int exit_code = authorities_open(call->command, &authorities, settings->ca);
    if (exit_code == EXIT_DONE) exit_code = key_open(call->command, &key, path, settings->passphrase_file);
    if (exit_code == EXIT_DONE) exit_code = key_date_find(call->command, &date, key, authorities);
    if (exit_code == EXIT_DONE && call->common->json)
        exit_code = print_json(call, key_json(key, path, &date));
    else if (exit_code == EXIT_DONE)
        key_print(key, &date);
    if (exit_code == EXIT_DONE && settings->ca && date.state != KEY_DATED) exit_code = EXIT_NEGATIVE;
    wmk_key_free(key);
    wmk_authorities_free(authorities);
    return exit_code;
}

static int run(const cli_call *call)
{
    const key_settings *settings = call->settings;
    const char *path = call->operands.item[0];
    if (settings->request && (settings->timestamp || settings->ca))
        return usage_error(call->command, "--timestamp-request and %s exclude each other", settings->timestamp ? "--timestamp" : "--ca");
    if (settings->timestamp && !settings->ca)
        return usage_error(call->command, "--timestamp needs --ca, the certificates of the authority that you trust");
    if (settings->request) return write_request(call, path);
    return settings->timestamp ? store_answer(call, path) : show(call, path);
}

static const option_spec options[] = {
    {"timestamp-request", 0, OPTION_TEXT, "FILE", NULL, false, "write a time-stamp request over the key's id, to be sent to an authority",
     offsetof(key_settings, request)},
    {"timestamp", 0, OPTION_TEXT, "ANSWER", NULL, false, "check an authority's answer against --ca and store it in the key file",
     offsetof(key_settings, timestamp)},
    OPTION_CA(key_settings),
    OPTION_PASSPHRASE(key_settings),
    {"force", 'f', OPTION_FLAG, NULL, NULL, false, "replace a request file that exists, or a time stamp that is stored",
     offsetof(key_settings, force)},
};

const cli_command command_key = {
    .name = "key",
    .operands = "KEY",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "say what a key is, and date it",
    .description =
        "Prints a key's id, scheme, carrier, number of bits, date and targets, never its secrets. The id is a hash that commits to key\n"
        "and bits and reveals neither. The creation time is what the key's maker wrote; it proves nothing.\n\n"
        "A time stamp (RFC 3161) proves that the id existed at a time: a time-stamping authority signs it. Date a key before the model is\n"
        "released: --timestamp-request writes the request, --timestamp checks the authority's answer and stores it in the key file. A sealed\n"
        "key needs no passphrase for either. A stored time stamp is believed only where --ca confirms it; certificates are judged at the\n"
        "stamped time, so a date outlives them. With --ca the exit status is 1 for an undated key.",
    .examples = "# The id to publish\n"
                "weightmark key owner.key\n"
                "# Date it: write a request, send it to an authority, store the answer\n"
                "weightmark key owner.key --timestamp-request owner.tsq\n"
                "weightmark key owner.key --timestamp answer.tsr --ca authority.pem\n"
                "# For scripts\n"
                "weightmark key owner.key --ca authority.pem --json",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(key_settings),
    .run = run,
};
