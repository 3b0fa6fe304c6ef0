/* cli/core_dump.c - both ways to forbid a core dump. */
#include "core_dump.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "console.h"
#include "exit_code.h"

/* The limit alone is no help where cores go to a program: the system ignores it then (core(5)). The attribute alone can be
 * overruled by the administrator (fs.suid_dumpable = 2: root may read the core). */
int core_dump_forbid(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return EXIT_DONE;
    return complain(NULL, EXIT_SYSTEM, "core dumps, which could show a key, cannot be forbidden: %s; does a sandbox refuse setrlimit or prctl?",
                    strerror(errno));
}
