/* cli/manual.c - man pages in man(7), made from the table: docs/man/ holds them, and a test compares. */
#include <stdio.h>
#include <string.h>

#include "help.h"
#include "option.h"

/* Text of a page: '\' and '-' escaped, a leading '.' or '\'' kept from being a request. */
static void roff(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((i == 0 || text[i - 1] == '\n') && (text[i] == '.' || text[i] == '\'')) printf("\\&");
        if (text[i] == '\\')
            printf("\\e");
        else if (text[i] == '-')
            printf("\\-");
        else
            putchar(text[i]);
    }
}

static void paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        printf(".PP\n");
        roff(text, length);
        putchar('\n');
        text += end ? length + 2 : length;
    }
}

static void literal(const char *text)
{
    printf(".nf\n");
    roff(text, strlen(text));
    printf("\n.fi\n");
}

static void head(const char *name, const char *summary)
{
    printf(".\\\" made by: weightmark help --man\n");
    printf(".TH \"");
    for (const char *c = name; *c; c++) *c == '-' ? printf("\\-") : putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf("\" 1 \"\" \"weightmark %s\" \"User Commands\"\n.SH NAME\n", wmk_version());
    roff(name, strlen(name));
    printf(" \\- ");
    roff(summary, strlen(summary));
    putchar('\n');
}

static void exit_status(void)
{
    printf(".SH EXIT STATUS\n0 done, or the mark was found; 1 a negative answer (not found, inconclusive); 2 the command line is wrong; 3 unusable "
           "input;\n"
           "4 system failure; 130 interrupted (what was finished is kept).\n");
}

void print_man(const cli_command *command)
{
    char text[2048];
    snprintf(text, sizeof text, "weightmark-%s", command->name);
    head(text, command->summary);
    usage_line(command, text, sizeof text);
    printf(".SH SYNOPSIS\n");
    roff(text, strlen(text));
    printf("\n.SH DESCRIPTION\n");
    paragraphs(command->description);
    if (command->more_description) paragraphs(command->more_description());
    printf(".SH OPTIONS\n");
    for (size_t i = 0; option_at(command, i); i++) {
        const option_spec *option = option_at(command, i);
        option_left(option, text, sizeof text);
        printf(".TP\n.B ");
        roff(text, strlen(text));
        putchar('\n');
        roff(option->help, strlen(option->help));
        if (option->required) printf(" (must be given)");
        if (option->initial) {
            printf(" (default ");
            roff(option->initial, strlen(option->initial));
            putchar(')');
        }
        putchar('\n');
    }
    exit_status();
    printf(".SH EXAMPLES\n");
    literal(command->examples);
    printf(".SH SEE ALSO\n.BR weightmark (1)\n");
}

void print_man_overview(void)
{
    head("weightmark", "keyed watermarks in the weights of neural networks");
    printf(".SH SYNOPSIS\nweightmark COMMAND [OPTIONS]\n.SH DESCRIPTION\n");
    paragraphs("weightmark puts a keyed watermark into the weights of a neural network, finds it again after the network was fine-tuned, pruned,\n"
               "rounded or re-written, and says with an exact probability how sure it is.\n\n"
               "Each command has a page of its own, weightmark-COMMAND(1), and --help with examples.");
    printf(".SH COMMANDS\n");
    for (size_t i = 0; command_at(i); i++) {
        printf(".TP\n.B %s\n", command_at(i)->name);
        roff(command_at(i)->summary, strlen(command_at(i)->summary));
        putchar('\n');
    }
    exit_status();
    printf(".SH ENVIRONMENT\n.TP\n.B WEIGHTMARK_DATA\nfolder of data sets, looked into before /usr/share/datasets\n"
           ".TP\n.B NO_COLOR\nset to anything: no colour\n.SH SEE ALSO\n");
    for (size_t i = 0; command_at(i); i++) printf(".BR weightmark\\-%s (1)%s\n", command_at(i)->name, command_at(i + 1) ? "," : "");
}
