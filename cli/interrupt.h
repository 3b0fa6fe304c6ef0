/* cli/interrupt.h - Ctrl-C, SIGTERM, SIGHUP; a pipe closed early. */
#ifndef WMK_CLI_INTERRUPT_H
#define WMK_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on a signal removes unfinished outputs and ends the program with EXIT_INTERRUPTED; SIGPIPE becomes a write error. */
void interrupt_install(void);
/* For work that can stop by itself: the first signal only sets a flag, the second ends the program as above. */
void interrupt_defer(void);
bool interrupt_asked(void);

#endif
