/* cli/interrupt.c - the signal handler. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>
#include <weightmark/base.h>

#include "exit_code.h"

/* A signal handler reaches nothing but globals. */
static volatile sig_atomic_t deferred, asked;

static void on_signal(int number)
{
    static const char text[] = "\nweightmark: interrupted; no unfinished output is left\n";
    (void)number;
    if (deferred && !asked) {
        asked = 1;
        return;
    }
    wmk_abort_outputs();
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(EXIT_INTERRUPTED);
    _exit(EXIT_INTERRUPTED);
}

void interrupt_install(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) /* what a parent ignores (nohup) stays ignored */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL); /* a file over the limit of setrlimit(2) becomes a write error */
}

void interrupt_defer(void) { deferred = 1; }

bool interrupt_asked(void) { return asked; }
