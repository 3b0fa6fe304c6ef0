/* bench_process REPETITIONS COMMAND [ARGUMENT...]: a command from its start to its end, standard output thrown away. Prints
 *     median_ms best_ms peak_kib exit_code
 * The command must end with 0 or 1 (a negative answer) each time. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds of one run; *peak_kib and *code as the system counted them. Negative: it could not be run. */
static double run_once(char **command, long *peak_kib, int *code)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    double begin = now_ms();
    int error = posix_spawnp(&child, command[0], &actions, NULL, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) return -1;
    int status;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) != child || !WIFEXITED(status)) return -1;
    double took = now_ms() - begin;
    if (usage.ru_maxrss > *peak_kib) *peak_kib = usage.ru_maxrss;
    *code = WEXITSTATUS(status);
    return took;
}

int main(int argc, char **argv)
{
    const int repetitions = argc > 2 ? atoi(argv[1]) : 0;
    if (repetitions < 1) return fprintf(stderr, "usage: bench_process REPETITIONS COMMAND [ARGUMENT...]\n"), 2;
    double *times = calloc((size_t)repetitions, sizeof *times);
    if (!times) return 4;
    long peak_kib = 0;
    int code = 0;
    for (int i = 0; i < repetitions; i++) {
        times[i] = run_once(argv + 2, &peak_kib, &code);
        if (times[i] < 0 || code > 1) return fprintf(stderr, "bench_process: %s: cannot be run, or ended with %d\n", argv[2], code), 1;
    }
    qsort(times, (size_t)repetitions, sizeof *times, by_size);
    printf("%.2f %.2f %ld %d\n", times[repetitions / 2], times[0], peak_kib, code);
    free(times);
    return 0;
}
