/* RFC 3161 answers, parsed and verified by OpenSSL's libcrypto. The answer is hostile; the file of
 * authorities is the verifier's own. */
#define OPENSSL_API_COMPAT 0x30000000L
#include "base/file.h"
#include "mark/timestamp.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Keys and hashes of certificates must resist 2^112 operations (RSA of 2048 bits, SHA-224): who can
 * forge a certificate can make any date. */
#define SECURITY_LEVEL 2

struct wmk_authorities {
    STACK_OF(X509) * certificates;
    char *path;
};

/* What an answer consists of. Freed by answer_free. */
typedef struct answer {
    TS_RESP *response;  /* NULL: the answer is a bare token */
    PKCS7 *bare;        /* NULL: the token is the response's */
    PKCS7 *token;       /* borrowed from one of them */
    TS_TST_INFO *info;  /* what was signed */
    unsigned char *der; /* where the answer was PEM */
} answer;

static void answer_free(answer *a)
{
    TS_TST_INFO_free(a->info);
    PKCS7_free(a->bare);
    TS_RESP_free(a->response);
    OPENSSL_free(a->der);
}

/* ---- libcrypto's errors ---- */

/* `status` with "<what>: <libcrypto's last reason>"; MEMORY where an allocation was refused. */
static wmk_status fail_crypto(wmk_status status, const char *what)
{
    static const char prefix[] = "Verify error:";
    const char *data = "", *reason = NULL;
    int flags = 0;
    unsigned long code;
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: %s", what);
        reason = (flags & ERR_TXT_STRING) && *data ? data : ERR_reason_error_string(code);
        if (reason && strncmp(reason, prefix, sizeof prefix - 1) == 0) reason += sizeof prefix - 1;
    }
    return reason ? wmk_fail(status, "%s: %s", what, reason) : wmk_fail(status, "%s", what);
}

static bool last_error_is(int library, int reason)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason;
}

/* ---- authorities ---- */

/* libcrypto would ask for a passphrase on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *payload)
{
    (void)text, (void)size, (void)writing, (void)payload;
    return -1;
}

static wmk_status read_certificates(wmk_authorities *authorities, BIO *text)
{
    X509 *certificate;
    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509_AUX(text, NULL, no_passphrase, NULL)) != NULL)
        if (sk_X509_push(authorities->certificates, certificate) <= 0) {
            X509_free(certificate);
            return wmk_fail_memory(sizeof certificate);
        }
    int count = sk_X509_num(authorities->certificates);
    if (!last_error_is(ERR_LIB_PEM, PEM_R_NO_START_LINE)) {
        char what[64];
        snprintf(what, sizeof what, "certificate number %d is damaged", count);
        return fail_crypto(WMK_ERROR_INPUT, what);
    }
    if (count > 0) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "no certificate in PEM form (a DER one: openssl x509 -inform DER)");
}

wmk_status wmk_authorities_read(wmk_authorities **out, const char *path)
{
    unsigned char *text;
    size_t size;
    wmk_authorities *authorities = NULL;
    BIO *bio = NULL;
    WMK_TRY(wmk_file_read(&text, &size, path, WMK_AUTHORITIES_BYTES_MAX));
    ERR_set_mark();
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&authorities, 1, sizeof *authorities), done);
    WMK_TRY_GOTO(status, wmk_strdup(&authorities->path, path), done);
    authorities->certificates = sk_X509_new_null();
    bio = BIO_new_mem_buf(text, (int)size);
    status = authorities->certificates && bio ? read_certificates(authorities, bio) : wmk_fail_memory(sizeof *authorities);
    if (status != WMK_OK) status = wmk_fail_within(status, "%s", path);
done:
    BIO_free(bio);
    ERR_pop_to_mark();
    free(text);
    if (status == WMK_OK)
        *out = authorities;
    else
        wmk_authorities_free(authorities);
    return status;
}

void wmk_authorities_free(wmk_authorities *authorities)
{
    if (!authorities) return;
    sk_X509_pop_free(authorities->certificates, X509_free);
    free(authorities->path);
    free(authorities);
}

/* ---- parsing ---- */

/* The DER inside one block of PEM. Labels differ between programs and are not looked at. */
static wmk_status decode_pem(answer *a, const void *text, size_t bytes, long *size)
{
    BIO *bio = BIO_new_mem_buf(text, (int)bytes);
    if (!bio) return wmk_fail_memory(bytes);
    char *label = NULL, *header = NULL;
    bool good = PEM_read_bio(bio, &label, &header, &a->der, size) == 1;
    bool encrypted = good && *header;
    OPENSSL_free(label);
    OPENSSL_free(header);
    BIO_free(bio);
    if (encrypted) return wmk_fail(WMK_ERROR_INPUT, "the PEM block has headers");
    return good ? WMK_OK : fail_crypto(WMK_ERROR_INPUT, "neither DER nor PEM");
}

static wmk_status check_granted(const answer *a)
{
    const TS_STATUS_INFO *info = TS_RESP_get_status_info(a->response);
    int64_t value = -1;
    ASN1_INTEGER_get_int64(&value, TS_STATUS_INFO_get0_status(info));
    if (value == TS_STATUS_GRANTED || value == TS_STATUS_GRANTED_WITH_MODS) return WMK_OK;
    const STACK_OF(ASN1_UTF8STRING) *lines = TS_STATUS_INFO_get0_text(info);
    const ASN1_UTF8STRING *line = sk_ASN1_UTF8STRING_num(lines) > 0 ? sk_ASN1_UTF8STRING_value(lines, 0) : NULL;
    return wmk_fail(WMK_ERROR_INPUT, "the authority refused the request (status %lld): %.*s", (long long)value, line ? ASN1_STRING_length(line) : 9,
                    line ? (const char *)ASN1_STRING_get0_data(line) : "no reason");
}

/* Fills response or bare, and token. */
static wmk_status decode_der(answer *a, const unsigned char *der, long size)
{
    const unsigned char *at = der;
    a->response = d2i_TS_RESP(NULL, &at, size);
    if (a->response) {
        if (at != der + size) return wmk_fail(WMK_ERROR_INPUT, "bytes after the response's end");
        WMK_TRY(check_granted(a));
        a->token = TS_RESP_get_token(a->response);
        return a->token ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "the response has no token");
    }
    at = der;
    a->bare = a->token = d2i_PKCS7(NULL, &at, size);
    if (!a->token) return fail_crypto(WMK_ERROR_INPUT, "neither a time-stamp response nor a token");
    return at == der + size ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "bytes after the token's end");
}

/* True when attribute `nid` of the signer is absent or of the type that libcrypto expects: versions
 * before 2026 read it without looking. */
static bool is_typed(const PKCS7_SIGNER_INFO *signer, int nid, int type)
{
    const ASN1_TYPE *attribute = PKCS7_get_signed_attribute(signer, nid);
    return !attribute || attribute->type == type;
}

static wmk_status check_form(answer *a)
{
    PKCS7 *token = a->token;
    if (!PKCS7_type_is_signed(token) || !token->d.sign || !token->d.sign->contents)
        return wmk_fail(WMK_ERROR_INPUT, "not a time-stamp token: no signed data");
    STACK_OF(PKCS7_SIGNER_INFO) *signers = PKCS7_get_signer_info(token);
    if (sk_PKCS7_SIGNER_INFO_num(signers) != 1)
        return wmk_fail(WMK_ERROR_INPUT, "%d signers, a time-stamp token has one", sk_PKCS7_SIGNER_INFO_num(signers));
    const PKCS7_SIGNER_INFO *signer = sk_PKCS7_SIGNER_INFO_value(signers, 0);
    if (!is_typed(signer, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING) || !is_typed(signer, NID_id_smime_aa_signingCertificate, V_ASN1_SEQUENCE) ||
        !is_typed(signer, NID_id_smime_aa_signingCertificateV2, V_ASN1_SEQUENCE))
        return wmk_fail(WMK_ERROR_INPUT, "a signed attribute is of the wrong type");
    a->info = PKCS7_to_TS_TST_INFO(token);
    if (!a->info) return fail_crypto(WMK_ERROR_INPUT, "not a time-stamp token");
    if (TS_TST_INFO_get_version(a->info) != 1)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: time-stamp version %ld", TS_TST_INFO_get_version(a->info));
    return WMK_OK;
}

static wmk_status parse(answer *a, const void *bytes, size_t size)
{
    const unsigned char *der = bytes;
    long der_size = (long)size;
    if (size == 0) return wmk_fail(WMK_ERROR_INPUT, "empty");
    if (size > WMK_ANSWER_BYTES_MAX) return wmk_fail(WMK_ERROR_INPUT, "%zu bytes, at most %d are allowed", size, WMK_ANSWER_BYTES_MAX);
    ERR_clear_error();
    if (der[0] != 0x30) {
        WMK_TRY(decode_pem(a, bytes, size, &der_size));
        der = a->der;
    }
    WMK_TRY(decode_der(a, der, der_size));
    return check_form(a);
}

wmk_status wmk_timestamp_extract(wmk_buffer *token, const void *bytes, size_t size)
{
    answer a = {0};
    unsigned char *der = NULL;
    ERR_set_mark();
    wmk_status status = parse(&a, bytes, size);
    if (status == WMK_OK) {
        int der_size = i2d_PKCS7(a.token, &der);
        if (der_size <= 0)
            status = fail_crypto(WMK_ERROR_INPUT, "the token cannot be written as DER");
        else if (der_size > WMK_TIMESTAMP_BYTES_MAX)
            status = wmk_fail(WMK_ERROR_INPUT, "a token of %d bytes, at most %d are allowed", der_size, WMK_TIMESTAMP_BYTES_MAX);
        else
            status = wmk_buffer_append(token, der, (size_t)der_size);
    }
    OPENSSL_free(der);
    answer_free(&a);
    ERR_pop_to_mark();
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "time stamp");
}

/* ---- checks ---- */

static bool is_strong_hash(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *name = NULL;
    if (algorithm) X509_ALGOR_get0(&name, NULL, NULL, algorithm);
    int nid = name ? OBJ_obj2nid(name) : NID_undef;
    return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

static wmk_status check_imprint(TS_TST_INFO *info, const char *statement)
{
    TS_MSG_IMPRINT *imprint = TS_TST_INFO_get_msg_imprint(info);
    const X509_ALGOR *algorithm = TS_MSG_IMPRINT_get_algo(imprint);
    const ASN1_OCTET_STRING *stamped = TS_MSG_IMPRINT_get_msg(imprint);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!is_strong_hash(algorithm))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a statement hashed by another "
                                               "function than SHA-256, SHA-384, SHA-512");
    const ASN1_OBJECT *name;
    X509_ALGOR_get0(&name, NULL, NULL, algorithm);
    if (!EVP_Digest(statement, strlen(statement), digest, &size, EVP_get_digestbyobj(name), NULL))
        return fail_crypto(WMK_ERROR_INTERNAL, "the statement's hash");
    if (ASN1_STRING_length(stamped) == (int)size && memcmp(ASN1_STRING_get0_data(stamped), digest, size) == 0) return WMK_OK;
    return wmk_fail(WMK_ERROR_MISMATCH, "it is over something else than \"%.*s\"", (int)strcspn(statement, "\n"), statement);
}

/* RFC 3161, 2.4.2: GeneralizedTime in UTC. The fraction is dropped. */
static wmk_status read_time(int64_t *seconds, const TS_TST_INFO *info)
{
    struct tm utc;
    if (!ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &utc)) return wmk_fail(WMK_ERROR_INPUT, "its time is malformed");
    *seconds = timegm(&utc);
    return WMK_OK;
}

/* -1 where `part` is absent or not in [0, limit]. */
static int64_t accuracy_part(const ASN1_INTEGER *part, int64_t limit)
{
    int64_t value;
    return part && ASN1_INTEGER_get_int64(&value, part) && value >= 0 && value <= limit ? value : -1;
}

static wmk_status read_accuracy(int64_t *microseconds, TS_TST_INFO *info)
{
    const TS_ACCURACY *accuracy = TS_TST_INFO_get_accuracy(info);
    *microseconds = -1;
    if (!accuracy) return WMK_OK;
    const ASN1_INTEGER *part[3] = {TS_ACCURACY_get_seconds(accuracy), TS_ACCURACY_get_millis(accuracy), TS_ACCURACY_get_micros(accuracy)};
    static const int64_t limit[3] = {INT32_MAX, 999, 999}, unit[3] = {1000000, 1000, 1};
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        int64_t value = part[i] ? accuracy_part(part[i], limit[i]) : 0;
        if (value < 0) return wmk_fail(WMK_ERROR_INPUT, "its accuracy is malformed");
        sum += value * unit[i];
    }
    *microseconds = sum;
    return WMK_OK;
}

static wmk_status fail_signature(const wmk_authorities *authorities)
{
    if (!last_error_is(ERR_LIB_TS, TS_R_CERTIFICATE_VERIFY_ERROR)) return fail_crypto(WMK_ERROR_INPUT, "its signature is not valid");
    char what[256];
    snprintf(what, sizeof what, "its signer is not certified by an authority in %s", authorities->path);
    return fail_crypto(WMK_ERROR_MISMATCH, what);
}

/* Signature, signer's certificate and chain as they were at `seconds`. The caller frees *signer. */
static wmk_status check_signature(X509 **signer, const answer *a, int64_t seconds, const wmk_authorities *authorities)
{
    X509_STORE *store = X509_STORE_new();
    bool ready = store != NULL;
    for (int i = 0; ready && i < sk_X509_num(authorities->certificates); i++)
        ready = X509_STORE_add_cert(store, sk_X509_value(authorities->certificates, i)) == 1;
    wmk_status status;
    if (ready) {
        X509_VERIFY_PARAM *rules = X509_STORE_get0_param(store);
        X509_VERIFY_PARAM_set_time(rules, (time_t)seconds);
        X509_VERIFY_PARAM_set_auth_level(rules, SECURITY_LEVEL);
        ERR_clear_error();
        /* sets the purpose, timestampsign: one EKU, timeStamping, and critical */
        status = TS_RESP_verify_signature(a->token, NULL, store, signer) == 1 ? WMK_OK : fail_signature(authorities);
    } else {
        status = fail_crypto(WMK_ERROR_MEMORY, "out of memory: the authorities");
    }
    X509_STORE_free(store);
    if (status != WMK_OK) return status;
    X509_ALGOR *hash = NULL;
    PKCS7_SIGNER_INFO *info = sk_PKCS7_SIGNER_INFO_value(PKCS7_get_signer_info(a->token), 0);
    PKCS7_SIGNER_INFO_get0_algs(info, NULL, &hash, NULL);
    if (is_strong_hash(hash)) return WMK_OK;
    X509_free(*signer);
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a signature by another hash function "
                                           "than SHA-256, SHA-384, SHA-512");
}

/* ---- names ---- */

/* Appends a part of the subject, ", " before a second one. */
static void append_part(char *text, size_t size, const X509_NAME *subject, int nid)
{
    int at = X509_NAME_get_index_by_NID(subject, nid, -1);
    if (at < 0) return;
    unsigned char *utf8 = NULL;
    int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    for (int i = 0; i < length; i++)
        if (utf8[i] == 0) utf8[i] = '?'; /* "bank" NUL ".evil" is not "bank" */
    size_t used = strlen(text);
    if (length > 0) snprintf(text + used, size - used, "%s%.*s", used ? ", " : "", length, (char *)utf8);
    OPENSSL_free(utf8);
}

static void name_signer(char *text, size_t size, const X509 *signer)
{
    const X509_NAME *subject = X509_get_subject_name(signer);
    append_part(text, size, subject, NID_commonName);
    append_part(text, size, subject, NID_organizationName);
    if (!*text) snprintf(text, size, "(a certificate without a name)");
    wmk_make_printable(text);
}

static wmk_status read_names(wmk_timestamp *out, TS_TST_INFO *info)
{
    const ASN1_INTEGER *serial = TS_TST_INFO_get_serial(info);
    size_t bytes = (size_t)ASN1_STRING_length(serial);
    if (2 * bytes >= sizeof out->serial)
        return wmk_fail(WMK_ERROR_INPUT, "its serial number has %zu bytes, at most %zu are allowed", bytes, sizeof out->serial / 2);
    sodium_bin2hex(out->serial, sizeof out->serial, ASN1_STRING_get0_data(serial), bytes);
    int length = OBJ_obj2txt(out->policy, sizeof out->policy, TS_TST_INFO_get_policy_id(info), 1);
    if (length <= 0 || (size_t)length >= sizeof out->policy)
        return wmk_fail(WMK_ERROR_INPUT, "its policy is no object identifier of sensible length");
    return WMK_OK;
}

/* ---- the whole ---- */

static wmk_status verify(wmk_timestamp *out, const char *statement, answer *a, const void *bytes, size_t size, const wmk_authorities *authorities)
{
    X509 *signer = NULL;
    WMK_TRY(parse(a, bytes, size));
    WMK_TRY(check_imprint(a->info, statement));
    if (TS_TST_INFO_get_ext_by_critical(a->info, 1, -1) >= 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: it has a critical extension");
    WMK_TRY(read_time(&out->seconds, a->info));
    WMK_TRY(read_accuracy(&out->accuracy_microseconds, a->info));
    WMK_TRY(read_names(out, a->info));
    WMK_TRY(check_signature(&signer, a, out->seconds, authorities));
    name_signer(out->signer, sizeof out->signer, signer);
    X509_free(signer);
    return WMK_OK;
}

wmk_status wmk_timestamp_verify(wmk_timestamp *out, const char *statement, const void *bytes, size_t size, const wmk_authorities *authorities)
{
    answer a = {0};
    wmk_timestamp found = {0};
    ERR_set_mark();
    wmk_status status = verify(&found, statement, &a, bytes, size, authorities);
    answer_free(&a);
    ERR_pop_to_mark();
    if (status != WMK_OK) return wmk_fail_within(status, "time stamp");
    *out = found;
    return WMK_OK;
}
