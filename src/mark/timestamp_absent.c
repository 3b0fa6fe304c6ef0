/* A build without libcrypto: it carries time stamps and cannot check them. */
#include "base/status.h"
#include "mark/timestamp.h"

static wmk_status refuse(void) { return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: this build has no time stamps (libcrypto)"); }

wmk_status wmk_authorities_read(wmk_authorities **out, const char *path)
{
    (void)out, (void)path;
    return refuse();
}

void wmk_authorities_free(wmk_authorities *authorities) { (void)authorities; }

wmk_status wmk_timestamp_verify(wmk_timestamp *out, const char *statement, const void *bytes, size_t size, const wmk_authorities *authorities)
{
    (void)out, (void)statement, (void)bytes, (void)size, (void)authorities;
    return refuse();
}

wmk_status wmk_timestamp_extract(wmk_buffer *token, const void *bytes, size_t size)
{
    (void)token, (void)bytes, (void)size;
    return refuse();
}
