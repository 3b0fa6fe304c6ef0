/* cli/scan.c - a walk through folders. */
#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <weightmark/model.h>

#include "console.h"

enum { DEPTH_MAX = 64 };

/* A file or folder, by whatever path. */
typedef struct identity {
    dev_t device;
    ino_t inode;
} identity;

typedef struct search {
    model_list *found;
    identity *seen; /* [seen_count] folders that were searched, files of models that were found */
    size_t seen_count;
    bool no_memory;
} search;

static bool is_seen(const search *s, const struct stat *info)
{
    for (size_t i = 0; i < s->seen_count; i++)
        if (s->seen[i].device == info->st_dev && s->seen[i].inode == info->st_ino) return true;
    return false;
}

static void see(search *s, const struct stat *info)
{
    if (is_seen(s, info)) return;
    if ((s->seen_count & (s->seen_count + 1)) == 0) {
        identity *grown = realloc(s->seen, (2 * s->seen_count + 1) * sizeof *grown);
        if (!grown) {
            s->no_memory = true;
            return;
        }
        s->seen = grown;
    }
    s->seen[s->seen_count++] = (identity){info->st_dev, info->st_ino};
}

static void add(search *s, const char *path)
{
    char **grown = realloc(s->found->path, (s->found->count + 1) * sizeof *grown), *own = strdup(path);
    if (grown) s->found->path = grown;
    if (!grown || !own) {
        free(own);
        s->no_memory = true;
        return;
    }
    grown[s->found->count++] = own;
}

/* The files that a model consists of are not models of their own. */
static void see_files(search *s, const wmk_model *model)
{
    struct stat info;
    for (uint32_t i = 0; i < wmk_model_file_count(model); i++)
        if (stat(wmk_model_file_path(model, i), &info) == 0) see(s, &info);
}

/* A model file that was not seen yet, if it is one. One that is damaged counts. */
static void try_file(search *s, const char *path, const struct stat *info)
{
    wmk_model *model;
    if (is_seen(s, info) || wmk_model_probe(path) != WMK_OK) return;
    add(s, path);
    see(s, info);
    if (wmk_model_open(&model, path) != WMK_OK) return;
    see_files(s, model);
    wmk_model_close(model);
}

/* The model that a folder is, under the name of the folder where it is more than one file. */
static bool try_folder(search *s, const char *folder)
{
    wmk_model *model;
    struct stat info;
    if (wmk_model_open(&model, folder) != WMK_OK) return false;
    if (stat(wmk_model_file_path(model, 0), &info) == 0 && !is_seen(s, &info))
        add(s, wmk_model_file_count(model) > 1 ? folder : wmk_model_file_path(model, 0));
    see_files(s, model);
    wmk_model_close(model);
    return true;
}

static int is_visible(const struct dirent *entry) { return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0; }

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* True when the folder itself is a model. */
static bool search_folder(search *s, const char *folder, int depth) /* NOLINT(misc-no-recursion): DEPTH_MAX */
{
    struct stat info;
    struct dirent **entries;
    if (depth == DEPTH_MAX || stat(folder, &info) != 0 || is_seen(s, &info)) return false;
    see(s, &info);
    bool is_model = try_folder(s, folder);
    int count = scandir(folder, &entries, is_visible, by_name);
    for (int i = 0; i < count; i++) {
        char *path;
        size_t size = strlen(folder);
        if (asprintf(&path, "%s%s%s", folder, size > 0 && folder[size - 1] == '/' ? "" : "/", entries[i]->d_name) < 0) {
            s->no_memory = true;
        } else {
            bool there = stat(path, &info) == 0; /* else gone, or a link to nothing */
            if (there && S_ISDIR(info.st_mode)) search_folder(s, path, depth + 1);
            if (there && S_ISREG(info.st_mode)) try_file(s, path, &info);
            free(path);
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return is_model;
}

/* Everything in a folder that was named. When it is one model and nothing else, that goes by the folder's name. */
static int search_named(search *s, const cli_call *call, const char *folder)
{
    size_t before = s->found->count;
    bool is_model = search_folder(s, folder, 0);
    if (s->no_memory) return EXIT_DONE; /* the caller says so */
    if (s->found->count == before) return complain(call->command, EXIT_INPUT, "%s: no model file in this folder", folder);
    if (is_model && s->found->count == before + 1) {
        free(s->found->path[before]);
        s->found->count = before;
        add(s, folder);
    }
    return EXIT_DONE;
}

int model_list_make(const cli_call *call, model_list *out)
{
    int exit_code = EXIT_DONE;
    *out = (model_list){NULL, 0};
    for (size_t i = 0; exit_code == EXIT_DONE && i < call->operands.count; i++) {
        search s = {out, NULL, 0, false};
        const char *path = call->operands.item[i];
        struct stat info;
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            exit_code = search_named(&s, call, path);
        else
            add(&s, path);
        free(s.seen);
        if (s.no_memory) exit_code = complain(call->command, EXIT_SYSTEM, "out of memory");
    }
    return exit_code;
}

void model_list_free(model_list *list)
{
    for (size_t i = 0; i < list->count; i++) free(list->path[i]);
    free(list->path);
    *list = (model_list){NULL, 0};
}
