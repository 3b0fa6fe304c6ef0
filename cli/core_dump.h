/* cli/core_dump.h - no core dump of the program shows a key. */
#ifndef WMK_CLI_CORE_DUMP_H
#define WMK_CLI_CORE_DUMP_H

/* From here on the system writes no core dump of the program, and other processes of the same user can neither trace it nor
 * look into its memory. To be called before anything secret is read. Returns an exit code, having said what is wrong:
 * EXIT_SYSTEM where the system refuses. */
int core_dump_forbid(void);

#endif
