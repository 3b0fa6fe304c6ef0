/* Time stamps: the request, answers of real authorities, every way an answer can be bad, the key file
 * that holds one.
 * The oracle is TS_RESP_verify_response, which the program openssl calls; this library does not. */
#define OPENSSL_API_COMPAT 0x30000000L
#include "cmocka_wmk.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "mark/key_file.h"
#include "mark/timestamp.h"

#define FIXTURES WMK_SOURCE_DIR "/tests/mark/timestamp/"
static const char id[] = "15bf1f93ef39709f12d9b353282188661e0db59f6b9ace797f012e0f7dd8edcd";
static char folder[32], path[64], other[64];

typedef struct file {
    unsigned char *bytes;
    size_t size;
} file;

static file load(const char *name)
{
    file f;
    assert_ok(wmk_file_read(&f.bytes, &f.size, name, 1 << 20));
    return f;
}

static void save(const char *name, const void *bytes, size_t size)
{
    unlink(name); /* truncating an old file makes some file systems wait for the disk */
    FILE *out = fopen(name, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static wmk_authorities *trust(const char *name)
{
    wmk_authorities *authorities = NULL;
    assert_ok(wmk_authorities_read(&authorities, name));
    return authorities;
}

/* ---- the statement and the request ---- */

static void test_statement(void **state)
{
    (void)state;
    char statement[WMK_KEY_STATEMENT_CHARS + 1], upper[] = "15BF1f93ef39709f12d9b353282188661e0db59f6b9ace797f012e0f7dd8edcd";
    assert_ok(wmk_key_statement(statement, id));
    assert_string_equal(statement, "weightmark key id 15bf1f93ef39709f12d9b353282188661e0db59f6b9ace797f012e0f7dd8edcd\n");
    assert_int_equal(strlen(statement), WMK_KEY_STATEMENT_CHARS);
    assert_fails(wmk_key_statement(statement, upper), WMK_ERROR_ARGUMENT, "no key id");
    assert_fails(wmk_key_statement(statement, id + 1), WMK_ERROR_ARGUMENT, "64 digits");
    assert_fails(wmk_key_statement(statement, ""), WMK_ERROR_ARGUMENT, "no key id");
    assert_fails(wmk_timestamp_request("x", path, true), WMK_ERROR_ARGUMENT, "no key id");
}

/* libcrypto reads the request, finds what was asked, and writes the same bytes: it is DER. */
static void test_request(void **state)
{
    (void)state;
    char statement[WMK_KEY_STATEMENT_CHARS + 1];
    unsigned char digest[EVP_MAX_MD_SIZE], *again = NULL;
    unsigned size;
    struct stat info;
    mode_t mask = umask(0);
    assert_ok(wmk_timestamp_request(id, path, false));
    umask(mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
    file f = load(path);
    const unsigned char *at = f.bytes;
    TS_REQ *request = d2i_TS_REQ(NULL, &at, (long)f.size);
    assert_non_null(request);
    assert_int_equal(i2d_TS_REQ(request, &again), f.size);
    assert_memory_equal(again, f.bytes, f.size);
    assert_int_equal(TS_REQ_get_version(request), 1);
    assert_true(TS_REQ_get_cert_req(request));
    assert_null(TS_REQ_get_policy_id(request));
    assert_int_equal(ASN1_STRING_length(TS_REQ_get_nonce(request)), 8);
    assert_int_equal(ASN1_STRING_type(TS_REQ_get_nonce(request)), V_ASN1_INTEGER); /* not a negative one */
    TS_MSG_IMPRINT *imprint = TS_REQ_get_msg_imprint(request);
    assert_ok(wmk_key_statement(statement, id));
    assert_true(EVP_Digest(statement, strlen(statement), digest, &size, EVP_sha256(), NULL));
    assert_int_equal(ASN1_STRING_length(TS_MSG_IMPRINT_get_msg(imprint)), size);
    assert_memory_equal(ASN1_STRING_get0_data(TS_MSG_IMPRINT_get_msg(imprint)), digest, size);
    X509_ALGOR *algorithm = X509_ALGOR_new();
    X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL);
    assert_int_equal(X509_ALGOR_cmp(algorithm, TS_MSG_IMPRINT_get_algo(imprint)), 0);
    X509_ALGOR_free(algorithm);
    TS_REQ_free(request);
    OPENSSL_free(again);

    assert_fails(wmk_timestamp_request(id, path, false), WMK_ERROR_EXISTS, path);
    assert_ok(wmk_timestamp_request(id, path, true));
    file second = load(path);
    assert_int_equal(second.size, f.size);
    assert_memory_not_equal(second.bytes, f.bytes, f.size); /* another nonce */
    free(second.bytes);
    free(f.bytes);
}

/* ---- answers of real authorities ---- */

/* What `openssl ts -reply -in NAME.tsr -text` prints of them. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *authorities;
        wmk_timestamp said;
    } cases[] = {
        {"sigstage.tsr",
         "sigstage.pem",
         {1746791935, 1000000, "sigstore-tsa, sigstore.dev", "784b4c5e57aaa63b570f15cba4df95251668ae9e", "1.3.6.1.4.1.57264.2"}},
        /* its certificate is no longer valid, and was when it signed */
        {"identrust.tsr",
         "identrust.pem",
         {1741683128, -1, "TrustID Timestamp Authority, IdenTrust", "400195846778d8ebd3e0d31354082a24", "2.16.840.1.113839.0.6.13.3"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[256];
        wmk_timestamp found;
        snprintf(name, sizeof name, FIXTURES "%s", cases[i].authorities);
        wmk_authorities *authorities = trust(name);
        snprintf(name, sizeof name, FIXTURES "%s", cases[i].name);
        file f = load(name);
        assert_ok(wmk_timestamp_verify(&found, "hello", f.bytes, f.size, authorities));
        assert_true(found.seconds == cases[i].said.seconds && found.accuracy_microseconds == cases[i].said.accuracy_microseconds);
        assert_string_equal(found.signer, cases[i].said.signer);
        assert_string_equal(found.serial, cases[i].said.serial);
        assert_string_equal(found.policy, cases[i].said.policy);
        assert_fails(wmk_timestamp_verify(&found, "Hello", f.bytes, f.size, authorities), WMK_ERROR_MISMATCH, "something else than \"Hello\"");
        free(f.bytes);
        wmk_authorities_free(authorities);
    }
}

/* The token out of a response, and each of them in PEM, say the same. */
static void test_forms(void **state)
{
    (void)state;
    wmk_authorities *authorities = trust(FIXTURES "identrust.pem");
    file f = load(FIXTURES "identrust.tsr");
    wmk_timestamp first, found;
    wmk_buffer token = {0}, again = {0};
    assert_ok(wmk_timestamp_verify(&first, "hello", f.bytes, f.size, authorities));
    assert_ok(wmk_timestamp_extract(&token, f.bytes, f.size));
    assert_memory_equal(token.data, f.bytes + f.size - token.size, token.size); /* it is the response's last part */
    assert_ok(wmk_timestamp_verify(&found, "hello", token.data, token.size, authorities));
    assert_memory_equal(&found, &first, sizeof found);
    assert_ok(wmk_timestamp_extract(&again, token.data, token.size));
    assert_int_equal(again.size, token.size);
    assert_memory_equal(again.data, token.data, token.size);
    for (int whole = 0; whole < 2; whole++) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        assert_true(
            PEM_write_bio(bio, whole ? "TIMESTAMP RESPONSE" : "PKCS7", "", whole ? f.bytes : token.data, (long)(whole ? f.size : token.size)) > 0);
        long size = BIO_get_mem_data(bio, &text);
        assert_ok(wmk_timestamp_verify(&found, "hello", text, (size_t)size, authorities));
        assert_memory_equal(&found, &first, sizeof found);
        assert_fails(wmk_timestamp_verify(&found, "hello", text, (size_t)size / 2, authorities), WMK_ERROR_INPUT, "neither DER nor PEM");
        BIO_free(bio);
    }
    wmk_buffer_free(&token);
    wmk_buffer_free(&again);
    free(f.bytes);
    wmk_authorities_free(authorities);
}

static void test_wrong_authority(void **state)
{
    (void)state;
    wmk_authorities *authorities = trust(FIXTURES "identrust.pem");
    file f = load(FIXTURES "sigstage.tsr");
    wmk_timestamp found;
    assert_fails(wmk_timestamp_verify(&found, "hello", f.bytes, f.size, authorities), WMK_ERROR_MISMATCH,
                 "not certified by an authority in " FIXTURES "identrust.pem: unable to get local issuer certificate");
    free(f.bytes);
    wmk_authorities_free(authorities);
    authorities = trust(FIXTURES "sigstage.pem");
    f = load(FIXTURES "sigstage-no-certificate.tsr");
    assert_fails(wmk_timestamp_verify(&found, "hello", f.bytes, f.size, authorities), WMK_ERROR_INPUT, "signer certificate not found");
    free(f.bytes);
    f = load(FIXTURES "sigstage-invalid-signature.tsr");
    assert_fails(wmk_timestamp_verify(&found, "hello", f.bytes, f.size, authorities), WMK_ERROR_INPUT, "signature is not valid");
    free(f.bytes);
    wmk_authorities_free(authorities);
}

/* ---- damage ---- */

static wmk_status verify(wmk_timestamp *found, const unsigned char *bytes, size_t size, const wmk_authorities *authorities)
{
    unsigned char *exact = malloc(size ? size : 1); /* a sanitizer sees a byte read past it */
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    wmk_status status = wmk_timestamp_verify(found, "hello", exact, size, authorities);
    free(exact);
    if (status != WMK_OK && !strstr(wmk_error_message(), "time stamp: ")) fail_msg("\"%s\" does not say what", wmk_error_message());
    return status;
}

static void test_truncated(void **state)
{
    (void)state;
    wmk_timestamp found;
    wmk_authorities *authorities = trust(FIXTURES "sigstage.pem");
    file f = load(FIXTURES "sigstage.tsr");
    for (size_t size = 0; size < f.size; size++) assert_int_equal(verify(&found, f.bytes, size, authorities), WMK_ERROR_INPUT);
    unsigned char *more = calloc(WMK_ANSWER_BYTES_MAX + 1, 1);
    assert_non_null(more);
    memcpy(more, f.bytes, f.size);
    assert_fails(verify(&found, more, f.size + 1, authorities), WMK_ERROR_INPUT, "bytes after the response's end");
    assert_fails(verify(&found, more, WMK_ANSWER_BYTES_MAX + 1, authorities), WMK_ERROR_INPUT, "at most 131072 are allowed");
    free(more);
    free(f.bytes);
    wmk_authorities_free(authorities);
}

/* What the program `openssl ts -verify -attime` does, with the token's own time. */
static bool oracle(const unsigned char *bytes, size_t size, const char *authorities)
{
    const unsigned char *at = bytes;
    TS_RESP *response = d2i_TS_RESP(NULL, &at, (long)size);
    TS_TST_INFO *info = response ? TS_RESP_get_tst_info(response) : NULL;
    struct tm utc;
    bool good = false;
    if (info && ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &utc)) {
        TS_VERIFY_CTX *verifier = TS_VERIFY_CTX_new();
        X509_STORE *store = X509_STORE_new();
        assert_true(X509_STORE_load_file(store, authorities));
        X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), timegm(&utc));
        TS_VERIFY_CTX_set_flags(verifier, TS_VFY_VERSION | TS_VFY_DATA | TS_VFY_SIGNATURE);
        TS_VERIFY_CTX_set_data(verifier, BIO_new_mem_buf("hello", 5));
        TS_VERIFY_CTX_set_store(verifier, store);
        good = TS_RESP_verify_response(verifier, response) == 1;
        TS_VERIFY_CTX_free(verifier);
    }
    TS_RESP_free(response);
    return good;
}

/* Every step-th byte changed, one by one bit, the next by all: refused, or the stamp says the same as before (a
 * response has bytes that nothing signs, such as its status, and names are compared without their
 * case). What is accepted here the oracle accepts too. */
static void flip(const char *name, const char *certificates, size_t step, size_t accepted_max)
{
    wmk_timestamp first, found;
    wmk_authorities *authorities = trust(certificates);
    file f = load(name);
    size_t accepted = 0, refused_by_oracle = 0;
    assert_ok(verify(&first, f.bytes, f.size, authorities));
    assert_true(oracle(f.bytes, f.size, certificates));
    for (size_t i = 0; i < f.size; i += step) {
        unsigned char before = f.bytes[i];
        f.bytes[i] ^= (unsigned char)(i % 2 ? 0xff : 1 << i / 2 % 8);
        bool good = verify(&found, f.bytes, f.size, authorities) == WMK_OK;
        if (good && memcmp(&found, &first, sizeof found) != 0) fail_msg("%s: byte %zu changed: accepted, and it says another thing", name, i);
        if (good && !oracle(f.bytes, f.size, certificates)) refused_by_oracle++;
        accepted += good;
        f.bytes[i] = before;
    }
    assert_int_equal(refused_by_oracle, 0);
    assert_in_range(accepted, 1, accepted_max);
    free(f.bytes);
    wmk_authorities_free(authorities);
}

static void test_changed(void **state)
{
    (void)state;
    flip(FIXTURES "sigstage.tsr", FIXTURES "sigstage.pem", 1, 30);
    flip(FIXTURES "identrust.tsr", FIXTURES "identrust.pem", 3, 30);
}

/* ---- authorities ---- */

static void test_authorities(void **state)
{
    (void)state;
    wmk_authorities *authorities = NULL;
    file f = load(FIXTURES "sigstage.pem");
    assert_fails(wmk_authorities_read(&authorities, "/nowhere/ca.pem"), WMK_ERROR_MISSING, "/nowhere/ca.pem");
    assert_fails(wmk_authorities_read(&authorities, folder), WMK_ERROR_INPUT, "folder");
    save(path, "", 0);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_INPUT, "no certificate in PEM form");
    save(path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 58);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_INPUT, "no certificate in PEM form");
    save(path, f.bytes, f.size - 20);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_INPUT, "certificate number 1 is damaged");
    memcpy(f.bytes + 100, "!!!!", 4);
    save(path, f.bytes, f.size);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_INPUT, "certificate number 0 is damaged");
    static const char sealed[] =
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
        "-----END CERTIFICATE-----\n"; /* no question on the terminal */
    save(path, sealed, sizeof sealed - 1);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_INPUT, "certificate number 0 is damaged");
    assert_null(authorities);
    wmk_authorities_free(NULL);
    free(f.bytes);
}

/* ---- the key file ---- */

/* A key whose file holds `timestamp` after `created`, as `value` is written there. */
static void write_key(const char *value)
{
    static uint8_t seed[WMK_SEED_BYTES] = {7};
    const wmk_target target = {"conv", "OIHW", 4, {64, 16, 3, 3}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.seed = seed;
    options.created = 1700000000;
    options.targets = &target;
    options.target_count = 1;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_key_write(key, path, NULL, 0, true));
    wmk_key_free(key);
    if (!value) return;
    file f = load(path);
    char *text = NULL, *place = strstr((char *)f.bytes, "1700000000");
    assert_non_null(place);
    place += 10;
    assert_ok(wmk_format(&text, "%.*s, \"timestamp\": %s%s", (int)(place - (char *)f.bytes), (char *)f.bytes, value, place));
    save(path, text, strlen(text));
    free(text);
    free(f.bytes);
}

/* A token stays with its key, whatever it is; its meaning is looked at when it is checked. */
static void test_stored(void **state)
{
    (void)state;
    wmk_key *key, *back, *drawn;
    size_t bytes;
    wmk_timestamp found;
    wmk_authorities *authorities = trust(FIXTURES "sigstage.pem");
    write_key(NULL);
    assert_ok(wmk_key_read(&key, path, NULL, 0));
    assert_null(wmk_key_timestamp(key, &bytes));
    assert_int_equal(bytes, 0);
    assert_fails(wmk_key_date(&found, key, authorities), WMK_ERROR_MISSING, "no time stamp");
    wmk_key_free(key);
    write_key("\"Z2FyYmFnZQ==\"");
    assert_ok(wmk_key_read(&key, path, NULL, 0));
    assert_memory_equal(wmk_key_timestamp(key, &bytes), "garbage", 7);
    assert_int_equal(bytes, 7);
    assert_fails(wmk_key_date(&found, key, authorities), WMK_ERROR_INPUT, "time stamp: ");
    assert_ok(wmk_key_write_cost(key, path, "secret", 6, true, 1, 8)); /* kept, also beside a seal */
    assert_ok(wmk_key_read(&back, path, "secret", 6));
    assert_memory_equal(wmk_key_timestamp(back, &bytes), "garbage", 7);
    assert_memory_equal(key->id, back->id, sizeof key->id);
    assert_ok(wmk_key_redraw(&drawn, back, NULL)); /* another key */
    assert_null(wmk_key_timestamp(drawn, &bytes));
    wmk_key_free(key);
    wmk_key_free(back);
    wmk_key_free(drawn);
    wmk_authorities_free(authorities);
}

static void test_stored_is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"\"",
                                      "\"Z2Fy!mFnZQ==\"",
                                      "\"Z2FyYmFnZQ\"",
                                      "\"Z2FyYmFnZQ= =\"",
                                      "\"Z2FyYmFnZQ==AAAA\"",
                                      "\"Z2F-YmF_\"",
                                      "\"Z2FyYmFnZR==\"",
                                      "\"Z2Fy\\u0000\"",
                                      "7",
                                      "null",
                                      "[\"Z2Fy\"]",
                                      "\"Z2Fy\", \"timestamp\": \"Z2Fy\""};
    wmk_key *key;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_key(bad[i]);
        assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "timestamp");
    }
    char *long_one = malloc(3 + 87384 + 4);
    assert_non_null(long_one);
    memset(long_one, 'A', 87387);
    long_one[0] = '"';
    memcpy(long_one + 1 + 87382, "==\"", 4); /* 65536 bytes */
    long_one[1 + 87381] = 'A';
    write_key(long_one);
    assert_ok(wmk_key_read(&key, path, NULL, 0));
    size_t bytes;
    assert_non_null(wmk_key_timestamp(key, &bytes));
    assert_int_equal(bytes, WMK_TIMESTAMP_BYTES_MAX);
    wmk_key_free(key);
    memcpy(long_one + 1 + 87382, "A=\"", 4); /* 65537 */
    write_key(long_one);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "not base64 of 1 to 65536 bytes");
    free(long_one);
}

/* The public part of plain and sealed keys. A stamp over another key's id is not stored; the file is
 * untouched then. */
static void test_not_stored(void **state)
{
    (void)state;
    char said[WMK_KEY_ID_CHARS + 1], is[WMK_KEY_ID_CHARS + 1];
    wmk_key *key;
    wmk_timestamp found;
    wmk_authorities *authorities = trust(FIXTURES "sigstage.pem");
    write_key(NULL);
    assert_ok(wmk_key_read(&key, path, NULL, 0));
    wmk_key_id(key, is);
    assert_ok(wmk_key_file_id(said, path));
    assert_string_equal(said, is);
    assert_ok(wmk_key_write_cost(key, other, "secret", 6, true, 1, 8));
    assert_ok(wmk_key_file_id(said, other));
    assert_string_equal(said, is);
    file before = load(path);
    assert_fails(wmk_key_file_stamp(&found, path, FIXTURES "sigstage.tsr", authorities, false), WMK_ERROR_MISMATCH,
                 "sigstage.tsr: time stamp: it is over something else");
    assert_fails(wmk_key_file_stamp(&found, path, FIXTURES "README.md", authorities, false), WMK_ERROR_INPUT,
                 "README.md: time stamp: neither DER nor PEM");
    assert_fails(wmk_key_file_stamp(&found, path, "/nowhere/answer", authorities, false), WMK_ERROR_MISSING, "/nowhere/answer");
    assert_fails(wmk_key_file_stamp(&found, FIXTURES "README.md", FIXTURES "sigstage.tsr", authorities, false), WMK_ERROR_INPUT,
                 "not a weightmark key");
    assert_fails(wmk_key_file_id(said, FIXTURES "README.md"), WMK_ERROR_INPUT, "not a weightmark key");
    file after = load(path);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.bytes, after.bytes, after.size);
    write_key("\"Z2FyYmFnZQ==\"");
    assert_fails(wmk_key_file_stamp(&found, path, FIXTURES "sigstage.tsr", authorities, false), WMK_ERROR_EXISTS, "holds a time stamp already");
    assert_fails(wmk_key_file_stamp(&found, path, FIXTURES "sigstage.tsr", authorities, true), WMK_ERROR_MISMATCH, "something else");
    memcpy(strstr((char *)before.bytes, is), "0000", 4);
    save(path, before.bytes, before.size);
    assert_fails(wmk_key_file_id(said, path), WMK_ERROR_INPUT, "its content does not give its id");
    free(before.bytes);
    free(after.bytes);
    wmk_key_free(key);
    wmk_authorities_free(authorities);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/wmk-stamp-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statement),       cmocka_unit_test(test_request),
        cmocka_unit_test(test_known_answers),   cmocka_unit_test(test_forms),
        cmocka_unit_test(test_wrong_authority), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_changed),         cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_stored),          cmocka_unit_test(test_stored_is_malformed),
        cmocka_unit_test(test_not_stored),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
